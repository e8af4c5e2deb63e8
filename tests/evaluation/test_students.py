import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.evaluation.students import (
    build_eval_dataset,
    measure_seconds,
    measure_student,
    pad_batch,
)
from i2i_dds.student.edit import edit_with_student
from i2i_dds.tasks import TaskSet

TIMES = {"seconds_per_image", "seconds_per_image_zero_shot", "zero_shot_speedup"}


@pytest.fixture
def edited_student(student):
    net = student()
    torch.nn.init.normal_(net.net.conv_out.weight, std=0.05)
    return net.eval()


def test_an_untrained_student_returns_the_reconstruction(student, teacher, tasks) -> None:
    batch = {
        "image": torch.rand(2, 3, 32, 32) * 2 - 1,
        "task": torch.tensor([0, 1]),
        "instruction": ["", ""],
    }
    wanted = teacher.decode(teacher.encode(batch["image"]))
    assert torch.equal(edit_with_student(student(), teacher, batch), wanted)


def test_a_batch_is_filled_up_with_its_last_item() -> None:
    batch = {"key": ["a", "b"], "image": torch.arange(2.0)[:, None], "broken": []}
    filled = pad_batch(batch, 4)
    assert filled["key"] == ["a", "b", "b", "b"] and filled["broken"] == []
    assert filled["image"].flatten().tolist() == [0, 1, 1, 1]


def test_zero_shot_editing_is_charged_for_each_of_its_steps(edited_student, teacher, tasks, judge):
    data = SceneEdits(tasks, "test", 1, 0, 32)
    batch = pad_batch(collate([data[0]]), 8)
    evaluator = Evaluator(tasks, teacher, judge)

    def seconds(steps: int, **settings: Any) -> float:
        before = teacher.nfe
        zero_shot = LatentOptimization(steps=steps, **settings)
        found = measure_seconds(edited_student, evaluator, batch, zero_shot)["zero_shot"]
        assert teacher.nfe - before == 4 * 8 * 4  # one warm-up, three timed
        return found

    # Whatever is timed, 100,000 steps take longer than one, also where a picture stops at once.
    assert 0 < seconds(1) < seconds(100_000)
    assert 0 < seconds(1) < seconds(100_000, stop=lambda done: True)


def test_a_held_out_set_is_measured(edited_student, teacher, tasks, judge, data) -> None:
    dataset = build_eval_dataset(data(), "test", 3)
    zero_shot = LatentOptimization(steps=50)
    result = measure_student(
        edited_student, Evaluator(tasks, teacher, judge), dataset, 4, zero_shot
    )
    found = result.numbers
    assert found["n"] == 6 and set(found["tasks"]) == {"lion", "dog"}
    assert [row.key for row in result.evaluation.rows] == sorted(
        dataset[i]["key"] for i in range(len(dataset))
    )
    # a row's numbers are those of that picture by itself, whatever filled its batch up
    item = dataset[5]
    batch = {name: [value] for name, value in item.items()}
    batch |= {name: item[name][None] for name in ("image", "truth", "mask")}
    alone = edit_with_student(edited_student, teacher, batch)
    (row,) = Evaluator(tasks, teacher, judge)(batch, alone)
    (same,) = (other for other in result.evaluation.rows if other.key == row.key)
    assert same["psnr_truth"] == pytest.approx(row["psnr_truth"], abs=1e-3)
    assert 0 <= found["collapse"] <= 1 and found["nonfinite"] == 0
    assert found["zero_shot_speedup"] == pytest.approx(
        found["seconds_per_image_zero_shot"] / found["seconds_per_image"]
    )
    assert found["zero_shot_speedup"] > 5


def test_one_task_of_several_is_measured_under_its_own_number(
    edited_student, teacher, tasks, data
) -> None:
    """Number 0 of the set that is asked for is number 1 of the student's."""
    dog = TaskSet([tasks[1]])
    one = SceneEdits(dog, "val", 1, size=32)[0]
    batch = {"image": one["image"][None], "instruction": [""], "task": torch.tensor([0])}
    found = edit_with_student(edited_student, teacher, batch, dog)
    wanted = edit_with_student(edited_student, teacher, {**batch, "task": torch.tensor([1])})
    assert torch.equal(found, wanted)
    assert not torch.equal(found, edit_with_student(edited_student, teacher, batch))


def test_a_collapsed_student_is_told_from_one_that_is_not(student, teacher, tasks) -> None:
    one = TaskSet([tasks[0]])  # two tasks have the same sources, and so the same identity
    dataset, evaluator = SceneEdits(one, "val", 3, size=32), Evaluator(one, teacher)
    zero_shot, same = LatentOptimization(steps=1), student(known=one)
    same.forward = lambda z, condition: torch.zeros_like(z)
    collapsed = measure_student(same, evaluator, dataset, 4, zero_shot).numbers["collapse"]
    assert collapsed == pytest.approx(1.0)
    identity = measure_student(student(known=one), evaluator, dataset, 4, zero_shot)
    assert identity.numbers["collapse"] < 0.99


def test_photographs_kept_back_are_measured_without_truth(student, teacher, tasks, data) -> None:
    photos = data(held_out=0.25, n_train=24, n_val=2, n_test=1)
    photos.prepare_data()
    dataset = build_eval_dataset(photos, "val", 9)
    assert len(dataset) == 2
    found = measure_student(
        student(), Evaluator(tasks, teacher), dataset, 2, LatentOptimization(steps=1)
    )
    assert found.numbers["n"] == 2 and found.numbers["success"] is None
    assert found.numbers["psnr_truth"] is None and found.numbers["sharpness"] > 0
    assert "psnr_source" not in found.numbers and found.numbers["psnr_backdrop"] is None


def test_two_processes_find_the_same_numbers(tmp_path: Path, repository: Path, teacher, judge):
    """By torchrun and without it, as a user types it."""
    from i2i_dds.student.build import new_student
    from i2i_dds.tasks import Task

    shape = {"block_out_channels": [8, 8], "norm_num_groups": 4, "attention_head_dim": 1}
    shape |= {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
    shape |= {"layers_per_block": 1, "cross_attention_dim": 8}
    lion = Task("lion", {"cat": "lion"}, source={"species": "cat"}, target={"species": "lion"})
    net = new_student(teacher, TaskSet([lion]), shape)
    torch.nn.init.normal_(net.net.conv_out.weight, std=0.05)
    net.save_pretrained(tmp_path / "student")
    judge.save_pretrained(tmp_path / "judge")
    for part in ("vae", "unet", "text_encoder", "tokenizer"):
        getattr(teacher, part).save_pretrained(tmp_path / "sd" / part)
    script = str(repository / "scripts" / "evaluate.py")
    settings = ["ckpt=student", "judge=judge", "teacher.path=sd", "teacher.device=cpu", "n=5"]
    settings += ["batch_size=2", "zero_shot.steps=1", "data.size=32"]
    scheduler = {"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear"}
    scheduler |= {"beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
    (tmp_path / "sd" / "scheduler").mkdir()
    (tmp_path / "sd" / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    (tmp_path / "sd" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    found = []
    for launcher in ([], ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]):
        done = subprocess.run(
            [sys.executable, *launcher, script, *settings],
            # torchrun gives each process one thread, and rounding depends on their number.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            **{"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 280},
        )
        assert done.returncode == 0, done.stderr
        folder = tmp_path / done.stdout.splitlines()[-1]
        metrics = json.loads((folder / "metrics.json").read_text())
        rows = (folder / "rows.csv").read_text()
        found.append(({k: v for k, v in metrics.items() if k not in TIMES}, rows))
        assert (folder / "grid.png").is_file()
    assert found[0] == found[1]
    assert found[0][0]["n"] == 5
