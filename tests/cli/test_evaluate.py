import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from i2i_dds.cli.evaluate import main
from i2i_dds.student.build import new_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

SHAPE = {
    "block_out_channels": [8, 8],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "attention_head_dim": 1,
    "norm_num_groups": 4,
}


@pytest.fixture
def student(pocket: Path, tmp_path: Path) -> EditUNet:
    """A student of cat2lion and cat2dog in `student/`."""
    teacher = StableDiffusionTeacher.load(str(pocket / "teacher"), device="cpu")
    made = [
        Task(
            f"cat2{species}",
            {"cat": species},
            instruction=f"turn the cat into a {species}",
            source={"species": "cat"},
            target={"species": species},
        )
        for species in ("lion", "dog")
    ]
    net = new_student(teacher, TaskSet(made), SHAPE)
    torch.nn.init.normal_(net.net.conv_out.weight, std=0.1)
    net.save_pretrained(tmp_path / "student")
    return net


@pytest.fixture
def run(typed, student):
    """The command on six pictures."""

    def run(*arguments: str) -> Any:
        few = ["data.size=32", "n=3", "batch_size=2", "zero_shot.steps=2"]
        return typed(main, *few, *arguments)

    return run


def test_a_saved_student_is_measured(run) -> None:
    folder = run("ckpt=student").folder
    assert {path.name for path in folder.iterdir()} >= {
        *("metrics.json", "rows.csv", "grid.png", "config.json")
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["n"] == 6 and list(metrics["tasks"]) == ["cat2dog", "cat2lion"]
    assert None not in metrics.values() and metrics["zero_shot_steps"] == 2
    assert Image.open(folder / "grid.png").width == 3 * (144 + 6) + 6  # source, student, truth


def test_its_numbers_are_shown_with_a_column_a_task(run) -> None:
    done = run("ckpt=student")
    metrics = json.loads((done.folder / "metrics.json").read_text())
    lines = [line.split() for line in done.err.splitlines()]
    assert ["all", "cat2dog", "cat2lion"] in lines
    means = (metrics, *metrics["tasks"].values())
    assert ["n", *(str(one["n"]) for one in means)] in lines
    shown = " ".join(f"{one['psnr_truth']:.2f} dB" for one in means)
    assert ["psnr_truth", *shown.split()] in lines
    assert "Measuring" in done.err


def test_one_of_its_tasks(run) -> None:
    both = json.loads((run("ckpt=student").folder / "metrics.json").read_text())
    one = run("ckpt=student", "task=cat2dog", "paths.suffix=-one").folder
    metrics = json.loads((one / "metrics.json").read_text())
    assert metrics["n"] == 3 and "tasks" not in metrics
    assert metrics["psnr_truth"] == pytest.approx(both["tasks"]["cat2dog"]["psnr_truth"], abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "ckpt: "),
        (("ckpt=none",), "ckpt: 'none' does not exist; give a run folder of train.py"),
        (("ckpt=empty",), "ckpt: 'empty' is no folder of a student; give a run folder"),
        (("ckpt=cut",), "ckpt: the student in 'cut' is not complete or damaged ("),
        (("ckpt=student", "task=dog2fox"), "task: this student does not know 'dog2fox'; it knows"),
        (("ckpt=student", "split=train"), "split: 'train' is not allowed; give one of val, test"),
        (("ckpt=student", "zero_shot.steps=0"), "zero_shot.steps: 0 is not allowed; give a"),
        (("ckpt=student", "n=0"), "n: 0 is not allowed; give"),
        (("ckpt=student", "judge=nobody"), "judge: 'nobody' holds no judge; give"),
        (("ckpt=student", "teacher.path=none"), "teacher.path: 'none'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut").mkdir()
    for path in (tmp_path / "student").iterdir():
        half = len(path.read_bytes()) // (2 if path.suffix == ".safetensors" else 1)
        (tmp_path / "cut" / path.name).write_bytes(path.read_bytes()[:half])
    done = run(*arguments)
    assert (done.code, done.out) == (2, ""), done
    assert done.sentence.startswith(f"error: {message}"), done.sentence
    assert not list(tmp_path.glob("outputs/evaluate/*"))
