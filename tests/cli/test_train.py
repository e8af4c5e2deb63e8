import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from i2i_dds.cli.app import config_dir
from i2i_dds.cli.train import main
from i2i_dds.evaluation.photographs import PHOTO_METRICS
from i2i_dds.evaluation.students import optimizable
from i2i_dds.student.load import load_student
from tests.training.logged import WandbFile, tensorboard

FEW = [
    *("trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.log_every_n_steps=1"),
    *("data.n_train=8", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"),
    *("data.eval_batch_size=2", "final.n=3", "zero_shot.steps=2", "callbacks.pictures.n=2"),
    *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    "student.unet.attention_head_dim=1",
]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float)


METRICS = {
    *("n", "success", "psnr_truth", "psnr_truth_source", "psnr_truth_gain", "psnr_backdrop"),
    *("collapse", "zero_shot_speedup", "seconds_per_image", "images_per_second", "nonfinite"),
    *("sharpness", "sharpness_source", "steps", "split"),
}


@pytest.fixture
def run(typed):
    """The command with four steps of two rows."""

    def run(*arguments: str) -> Any:
        return typed(main, *FEW, *arguments)

    return run


def logged(folder: Path, column: str) -> list[float]:
    with (folder / "log" / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def test_pictures_are_as_large_as_the_teacher_wants_them(run) -> None:
    config = json.loads((run("task=cat2lion", "data.size=null").folder / "config.json").read_text())
    assert config["data"]["size"] is None
    (shards,) = Path("data/shards").iterdir()
    assert shards.name.startswith("critters-8x32-")  # the tiny teacher's: 8 cells of 4 pixels


def test_training_ends_with_numbers_pictures_and_a_student(run) -> None:
    folder = run("task=cat2lion").folder
    assert folder.name.endswith("-cat2lion")
    names = {path.name for path in folder.iterdir()} - {".hydra", "train.log"}
    assert names == {"config.json", "metrics.json", "rows.csv", "grid.png", "log", "pictures",
                     "checkpoints", "student"}  # fmt: skip
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics) >= METRICS and None not in metrics.values()
    assert set(optimizable()) - set(PHOTO_METRICS) <= set(metrics)
    assert metrics["n"] == 3 and metrics["steps"] == 4 and metrics["nonfinite"] == 0
    assert [path.name for path in sorted((folder / "pictures").iterdir())] == [
        "step-000002.png",
        "step-000004.png",
    ]
    # source, student, zero-shot, truth
    assert Image.open(folder / "grid.png").width == 4 * (144 + 6) + 6
    guidance = logged(folder, "train/guidance")
    assert guidance[0] == 1.0 and guidance[-1] > 2.5 and len(guidance) == 4
    assert len(logged(folder, "val/psnr_truth_gain")) == 2
    assert all(norm > 0 for norm in logged(folder, "train/weight_gradient"))
    student = load_student(folder)
    assert student.tasks.names == ("cat2lion",)
    assert student.net.conv_out.weight.abs().max() > 0
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert not [name for name in checkpoint["state_dict"] if not name.startswith("student.")]
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    assert sum(len(group["params"]) for group in groups) == len(list(student.parameters()))


def test_the_last_run_of_the_same_job_is_resumed_exactly(run, monkeypatch) -> None:
    whole = run("task=cat2lion", "paths.suffix=-whole").folder
    other = run("task=cat2lion", "seed=1", "paths.suffix=-other").folder

    class Killed(Exception):
        pass

    from i2i_dds.training.checkpoints import Checkpoints

    save = Checkpoints._save

    def killed(self, trainer, path):
        save(self, trainer, path)
        if trainer.global_step == 2:
            raise Killed

    settings = ["task=cat2lion", "paths.suffix=-part", "callbacks.checkpoints.every_n_steps=2"]
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "_save", killed)
        with pytest.raises(Killed):
            run(*settings)
    shutil.rmtree(whole / "checkpoints")
    resumed = run(*settings, "ckpt_path=last").folder
    weights = [load_student(folder / "student").state_dict() for folder in (whole, resumed, other)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-5, atol=1e-7)
    assert any(not torch.equal(weights[2][name], value) for name, value in weights[0].items())


@pytest.mark.parametrize("student", ["small", "teacher_init"])
def test_text_conditioning_and_sets_of_tasks(run, typed, student: str) -> None:
    shape = [] if student == "small" else ["student=teacher_init"]
    given = [argument for argument in FEW if not (shape and argument.startswith("student.unet"))]
    folder = typed(
        main, *given, *shape, "task=animals", "student.conditioning=text", "trainer.max_steps=2"
    ).folder
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["n"] == 12 and list(metrics["tasks"]) == [
        *("cat2dog", "cat2lion", "cat2tiger", "dog2fox")
    ]
    assert load_student(folder).conditioning == "text"


def test_sds_is_the_ablation(run) -> None:
    """An untrained student's first gradient: SDS pulls at the source itself, the delta does not."""
    norms = {}
    for score in ("dds", "sds"):
        settings = "trainer.max_steps=1", "trainer.log_every_n_steps=1", "identity.start=0"
        folder = run("task=cat2lion", f"score={score}", f"paths.suffix=-{score}", *settings).folder
        with next((folder / "log").rglob("metrics.csv")).open() as file:
            rows = list(csv.DictReader(file))
        norms[score] = next(float(row["train/score"]) for row in rows if row.get("train/score"))
    assert norms["sds"] > 1.5 * norms["dds"] > 0


def test_several_processes_that_do_not_know_of_one_another_are_refused(run, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = run("task=cat2lion")
    assert done.code == 2
    assert done.sentence.startswith("error: trainer: 2 processes were started and each would")


def test_a_job_is_queued_again_only_where_it_would_go_on(run, monkeypatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    done = run("task=cat2lion", "requeue=true", "ckpt_path=last")
    assert done.sentence.startswith("error: requeue: a job that is queued again would begin anew;")
    done = run("task=cat2lion", "requeue=true", "ckpt_path=auto")
    assert done.sentence == "error: requeue: this is no job of SLURM; leave it out"


def test_weights_that_are_shared_out_are_not_averaged(run) -> None:
    on_cpu = "trainer.accelerator=cpu", "trainer.devices=1"
    done = run("task=cat2lion", "trainer=fsdp", *on_cpu)
    assert done.code == 2
    assert done.sentence.startswith("error: callbacks.ema: weights that are shared out cannot be")


def test_a_student_that_was_shared_out_is_saved_whole(run, monkeypatch) -> None:
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ""}.items():
        monkeypatch.setenv(name, value)  # Lightning sets them
    monkeypatch.delenv("MASTER_PORT")
    on_cpu = "trainer.accelerator=cpu", "trainer.devices=1", "callbacks.ema=null"
    try:
        folder = run("task=cat2lion", "trainer=fsdp", *on_cpu).folder
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    whole = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, weight in load_student(folder).state_dict().items():
        assert type(weight) is torch.Tensor and torch.equal(weight, whole[f"student.{name}"])


@pytest.mark.parametrize(("nodes", "code"), [("2", 0), ("0", 2), ("two", 2)])
def test_the_number_of_machines_is_a_setting(run, nodes: str, code: int) -> None:
    done = run("task=cat2lion", "trainer=ddp", f"trainer.num_nodes={nodes}", "--cfg=job")
    assert done.code == 0 and f"num_nodes: {nodes}" in done.out
    if code:
        done = run("task=cat2lion", f"trainer.num_nodes={nodes}")
        assert done.sentence.startswith(f"error: trainer.num_nodes: {nodes!r}".replace("'0'", "0"))


def test_wandb_offline_and_tensorboard(run, monkeypatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    folder = run("task=cat2lion", "logger=all", "trainer.max_steps=2").folder
    assert list((folder / "wandb").glob("offline-run-*/run-*.wandb"))
    told, board = WandbFile(folder), tensorboard(folder / "tensorboard")
    assert told.name.startswith("cat2lion teacher.device=cpu ") and told.group == "cat2lion"
    assert all("trainer/global_step" in row for row in told.history)  # one axis
    (pictures,) = told.rows("held_out")
    assert pictures["held_out"]["captions"][0].startswith("source | student | zero-shot | truth: ")
    assert [image.step for image in board.Images("held_out/0")] == [2]
    (drawn,) = told.rows("train/timesteps")
    assert drawn["trainer/global_step"] == 2 and sum(drawn["train/timesteps"]["values"]) == 4
    assert [one.histogram_value.num for one in board.Histograms("train/timesteps")] == [4]
    run = told.config["run"]
    assert run["choices"]["task"] == "cat2lion" and run["choices"]["logger"] == "all"
    assert run["command"].endswith("logger=all trainer.max_steps=2") and "git_commit" in run
    scalars = {key for row in told.history for key, value in row.items() if is_number(value)}
    missing = {key for key in scalars if not key.startswith("_")} - set(board.Tags()["scalars"])
    assert missing == {"trainer/global_step"}  # both hold the same numbers


def test_a_sweep_runs_every_job(pocket: Path, tmp_path: Path, repository: Path) -> None:
    command = [sys.executable, str(repository / "train.py"), "-m", *FEW, "task=cat2lion,cat2dog"]
    command += ["seed=0,1", "trainer.max_steps=1", "callbacks.pictures=null", "teacher.device=cpu"]
    environment = {**os.environ, "I2I_DDS_POCKET": str(pocket)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    found = [tmp_path / line for line in done.stdout.splitlines() if "multirun" in line]
    configs = [json.loads((folder / "config.json").read_text()) for folder in found]
    jobs = [(config["task"]["name"], config["seed"]) for config in configs]
    assert jobs == [("cat2lion", 0), ("cat2lion", 1), ("cat2dog", 0), ("cat2dog", 1)]


@pytest.mark.parametrize(
    ("arguments", "guidance", "t_min", "steps"),
    [
        (("task=cat2lion",), 3.0, 200, 800),
        (("task=cat2lion", "teacher=sd15"), 7.5, 50, 1200),
        (("experiment=animals",), 3.0, 200, 2400),
        (("experiment=photo_cat2lion",), 7.5, 50, 1200),
        (("task=cat2lion", "guidance.end=5", "trainer.max_steps=7"), 5, 200, 7),
    ],
)
def test_a_teachers_numbers_yield_to_what_is_asked_for(arguments, guidance, t_min, steps) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", [*arguments])
    assert (cfg.guidance.end, cfg.timesteps.t_min, cfg.trainer.max_steps) == (
        *(guidance, t_min, steps),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "task: "),
        (
            ("task=cat2cow",),
            "task: 'cat2cow' is not among its choices (did you mean 'cat2dog'?); give",
        ),
        (("task=cat2lion", "student=huge"), "student: 'huge' is not among its choices; give one"),
        (("task=cat2lion", "guidence.end=3"), "guidence: no such key (did you mean 'guidance'?)"),
        (("task=cat2lion", "trainer.max_steps=-1"), "trainer.max_steps: -1 is not allowed; give"),
        (("task=cat2lion", "trainer.max_steps=0"), "trainer.max_steps: 0 is not allowed; give"),
        (("task=cat2lion", "optimizer.lr=-1"), "optimizer.lr: -1 is not allowed; give"),
        (("task=cat2lion", "guidance.start=-1"), "guidance.start: -1 is not allowed; give a"),
        (("task=cat2lion", "timesteps.t_min=950"), "timesteps.t_max: 900 is not allowed; give"),
        (("task=cat2lion", "zero_shot.steps=0"), "zero_shot.steps: 0 is not allowed; give a"),
        (("task=cat2lion", "score=cds", "score.patches=1"), "score.patches: 1 is not allowed"),
        (("task=cat2lion", "score=lusd"), "score: LUSD follows the same pictures from step to st"),
        (
            ("task=cat2lion", "data.batch_size=x"),
            "data.batch_size: 'x' is not allowed; give a whole",
        ),
        (
            ("task=cat2lion", "data.tasks_per_picture=1.5"),
            "data.tasks_per_picture: 1.5 is not allowed; give a whole number of at least 1",
        ),
        (("task=cat2lion", "callbacks.pictures.n=0"), "callbacks.pictures.n: 0 is not allowed"),
        (("task=cat2lion", "teacher.dtype=float8"), "teacher.dtype: 'float8' is unknown; give"),
        (("task=cat2lion", "guidance.fraction=2"), "guidance.fraction: 2 is not allowed; give"),
        (
            ("task=cat2lion", "data.size=30"),
            "data.size: 30 is not allowed; give one",
        ),
        (("task=cat2lion", "judge=nobody"), "judge: 'nobody' holds no judge; give"),
        (("task=cat2lion", "ckpt_path=none.ckpt"), "ckpt_path: 'none.ckpt' does not exist; give"),
        (("task=cat2lion", "ckpt_path=last"), "ckpt_path: 'last' finds no run of this job"),
        (("task=cat2lion", "ckpt_path=bad.ckpt"), "ckpt_path: 'bad.ckpt' is no checkpoint"),
        (("task=cat2lion", "data.folder=none"), "data.folder: 'none'"),
        (("task=cat2lion", "student.conditioning=color"), "student.conditioning: 'color' is"),
        (("task=cat2lion", "optimized_metric=luck"), "optimized_metric: 'luck' is not"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    (tmp_path / "bad.ckpt").write_bytes(b"not a checkpoint")
    done = run(*arguments)
    assert (done.code, done.out) == (2, ""), done
    assert done.sentence.startswith(f"error: {message}"), done.sentence
    assert not list(tmp_path.glob("outputs/train/*"))


def test_a_checkpoint_of_another_student_is_refused(run, tmp_path: Path) -> None:
    folder = run("task=cat2dog", "trainer.max_steps=1").folder
    done = run("task=cat2lion", f"ckpt_path={folder}/checkpoints/last.ckpt")
    assert done.code == 2
    pattern = r"error: ckpt_path: '.*' is a student of \['cat2dog'\], not of \['cat2lion'\]; give"
    assert re.match(pattern, done.sentence), done.sentence


def test_a_truncated_shard_is_named(run, tmp_path: Path) -> None:
    from i2i_dds.data.shards import write_shards
    from i2i_dds.data.sources import captioned_scenes, critters_samples

    samples = critters_samples(captioned_scenes("train", 8, species="cat"), size=32)
    write_shards(samples, tmp_path / "shards", samples_per_shard=8)
    (shard,) = (tmp_path / "shards").glob("*.tar")
    shard.write_bytes(shard.read_bytes()[:3000])
    done = run("task=cat2lion", "data.folder=shards")
    assert done.code == 2
    assert done.sentence.startswith("error: ") and shard.name in done.sentence, done.sentence


def test_a_training_that_sigterm_ends_reports_no_success(
    pocket: Path, tmp_path: Path, repository: Path
) -> None:
    few = ["data.n_train=8", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"]
    few += ["callbacks.pictures=null", "callbacks.checkpoints.every_n_steps=1"]
    command = [sys.executable, str(repository / "train.py"), "task=cat2lion", *few]
    command += ["trainer.max_steps=100000", "hydra.run.dir=run", "teacher.device=cpu"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "I2I_DDS_POCKET": str(pocket)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        last, end = tmp_path / "run" / "checkpoints" / "last.ckpt", time.monotonic() + 120
        while not last.is_file() and time.monotonic() < end and running.poll() is None:
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 143 and out == "", err
    assert "stopped by SIGTERM at step" in err and "go on with ckpt_path=" in err
