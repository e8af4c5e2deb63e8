"""Each command as two tasks of srun: it shares its work out, or refuses in one sentence."""

import csv
import json
import socket
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from i2i_dds.cli.commands import COMMANDS
from i2i_dds.critters import render, scenes

SMALL = "student.unet.block_out_channels=[8,8,16] student.unet.norm_num_groups=8 data.n_train=8"
SMALL += " student.unet.attention_head_dim=1 data.n_val=2 data.n_test=2 data.size=32 final.n=2"
TRAIN = f"task=cat2lion data.batch_size=2 callbacks.pictures=null trainer.max_steps=2 {SMALL}"
CPU = "trainer.accelerator=cpu zero_shot.steps=1"
CLIP = Path(__file__).resolve().parents[2] / "src" / "i2i_dds" / "pocket" / "clip"

SHARE = {
    "edit": ("image=photos prompt.target=lion steps=1 batch_size=1 hydra.run.dir=run", "edited/*"),
    "train": (f"{TRAIN} {CPU} trainer=ddp trainer.devices=2 hydra.run.dir=run", "rows.csv"),
    "evaluate": ("ckpt=student n=3 batch_size=1 data.size=32 hydra.run.dir=run", "rows.csv"),
    "benchmark": (
        f"setting=quick n=1 editors=[dds] task=cat2lion clip={CLIP} iterations=[1] "
        "iterations_main=1 size=32 out=run seeds=[0,1]",
        "rows.csv",
    ),
    "drag-bench": (
        "data=critters n=2 steps=4 drag_step=4 use_lora=false features.ensemble=1 out=run",
        "rows.csv",
    ),
}
"""Command -> what is typed, and the files that are as those of one process."""

REFUSE = (
    *("drag", "lora", "make-shards", "pretrain", "app", "doctor", "study", "bench", "theory"),
    *("plan", "export", "contact-sheet", "make-random-sd", "results"),
)
"""Commands that say that each process would do all of the work."""

MODULES = {command.name: command.target for command in COMMANDS}


def task_of_srun(rank: int, port: int = 0) -> dict[str, str]:
    found = {"SLURM_NTASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
    return found | {"SLURM_NODEID": "0", "SLURM_JOB_ID": "7", "MASTER_PORT": str(port)}


def test_every_command_is_looked_at() -> None:
    assert sorted([*SHARE, *REFUSE]) == sorted(MODULES)


TORCHRUN = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}


@pytest.mark.parametrize("started", [TORCHRUN, task_of_srun(0), task_of_srun(1)])
@pytest.mark.parametrize("name", REFUSE)
def test_a_command_that_cannot_share_refuses(
    name: str, started: dict[str, str], monkeypatch, capsys, tmp_path: Path
) -> None:
    for variable, value in started.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit) as ended:
        import_module(MODULES[name]).main()
    out, err = capsys.readouterr()
    sentence = f"error: {name.replace('-', '_')}: 2 processes were started, and each would do all"
    assert (ended.value.code, out) == (2, "") and err.startswith(sentence), err
    assert err.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.fixture
def inputs(tmp_path: Path, pocket: Path) -> None:
    """Three pictures, and a student."""
    from i2i_dds.student.build import new_student
    from i2i_dds.tasks import Task, TaskSet
    from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

    (tmp_path / "photos").mkdir()
    for i, scene in enumerate(scenes("test", 3)):
        render(scene, 32).save(tmp_path / "photos" / f"{i}.png")
    shape: dict[str, Any] = {"block_out_channels": [8, 8], "norm_num_groups": 4}
    shape |= {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
    shape |= {"layers_per_block": 1, "cross_attention_dim": 8, "attention_head_dim": 1}
    lion = Task("lion", {"cat": "lion"}, source={"species": "cat"}, target={"species": "lion"})
    teacher = StableDiffusionTeacher.load(str(pocket / "teacher"), device="cpu")
    new_student(teacher, TaskSet([lion]), shape).save_pretrained(tmp_path / "student")


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = free.getsockname()[1]
    yield found


def timeless(file: Path) -> Any:
    """What is in a file, without the seconds that work took."""
    if file.suffix != ".csv":
        return file.read_bytes()
    with file.open() as lines:
        return [
            {key: value for key, value in row.items() if "seconds" not in key}
            for row in csv.DictReader(lines)
        ]


DEFAULT = ("edit", "train")  # of the others the default tests have pairs under torchrun
NAMES = [pytest.param(n, marks=[] if n in DEFAULT else pytest.mark.slow) for n in SHARE]


@pytest.mark.parametrize("name", NAMES)
def test_two_tasks_make_one_run(name: str, start, inputs, tmp_path: Path, port: int) -> None:
    typed, files = SHARE[name]
    arguments = [MODULES[name].rpartition(".")[2], *typed.split(), "teacher.device=cpu"]
    both = [start(*arguments, env=task_of_srun(rank, port)) for rank in (0, 1)]
    assert [one.status() for one in both] == [0, 0], both[0].err
    (line,) = both[0].out.splitlines()
    assert (tmp_path / line).samefile(tmp_path / "run")
    assert not [*tmp_path.glob("*.partial-*")] and not (tmp_path / "outputs").exists()
    two = {path.name: timeless(path) for path in (tmp_path / "run").glob(files)}
    assert two
    if name == "train":  # rounding grows with training; see tests/training/test_processes.py
        assert json.loads((tmp_path / "run" / "metrics.json").read_text())["n"] == 2
        return
    (tmp_path / "run").rename(tmp_path / "two")
    assert start(*arguments).status() == 0
    one = {path.name: timeless(path) for path in (tmp_path / "run").glob(files)}
    assert one == two
