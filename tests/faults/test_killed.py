"""Commands that are killed at a moment drawn by chance go on, and end with the same bits."""

import csv
import hashlib
import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from i2i_dds import pocket
from i2i_dds.tasks import Task, TaskSet

FEW = [
    *("teacher.device=cpu", "data.n_train=8", "data.n_val=2", "data.n_test=2", "data.batch_size=2"),
    *("data.size=32", "student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    *("student.unet.attention_head_dim=1", "final.n=2", "zero_shot.steps=1"),
]
TRAIN = [
    *("task=cat2lion", *FEW, "callbacks.pictures=null", "callbacks.checkpoints.every_n_steps=3"),
    *("trainer.max_steps=16", "trainer.val_check_interval=5", "callbacks.ema.decay=0.9"),
    "ckpt_path=auto",
]
CLIP = Path(pocket.__file__).with_name("clip")
OTHERS = {
    "edit": (
        *("edit", "teacher.device=cpu", "source=critters", "task=cat2lion", "n=4", "batch_size=1"),
        *("size=32", "steps=12", "animation=true", "out=made"),
    ),
    "edit_by_a_student": (
        *("edit", "teacher.device=cpu", "source=critters", "task=cat2lion", "n=24", "batch_size=1"),
        *("size=32", "editor=student", "student=student", "out=made"),
    ),
    "benchmark": (
        *(
            "benchmark",
            "teacher.device=cpu",
            "setting=quick",
            "n=4",
            "batch_size=2",
            "task=cat2lion",
        ),
        *("editors=[dds,sdedit_sde]", "pictures=2", f"clip={CLIP}", "out=made"),
    ),
    "drag_bench": (
        *("drag_bench", "teacher.device=cpu", "data=critters", "n=3", "steps=4", "lora.steps=2"),
        *("drag_step=4", "features.ensemble=1", "out=made"),
    ),
    "pretrain": (
        *(
            "pretrain",
            "stage=all",
            "work=made",
            "vae={n:24,steps:4,batch_size:4,lr:0.001,precision:32-true}",
        ),
        *("unet.n=24", "unet.steps=4", "unet.batch_size=4", "judge.n=24", "judge.steps=260"),
        *("judge.batch_size=2", "clip.n=24", "clip.steps=4", "clip.batch_size=4"),
    ),
}
SAME = {
    "edit": ("*.csv", "*.png", "*/*.png", "*/*.gif"),
    "edit_by_a_student": ("*.csv", "*.png", "*/*.png"),
    "benchmark": ("rows.csv", "pictures/*/*.png"),
    "drag_bench": ("rows.csv", "pictures/*/*.png"),
    "pretrain": ("pocket/**/*.safetensors", "pocket/**/*.json"),
}
MOMENTS = 20


def digests(folder: Path, *patterns: str) -> dict[str, str]:
    """Of the files that must not depend on when a run was killed."""
    files = sorted({file for pattern in patterns for file in folder.glob(pattern)})
    assert files, folder
    names = (str(file.relative_to(folder)) for file in files)
    return {name: hashlib.sha256(without_seconds(folder / name)).hexdigest() for name in names}


def without_seconds(file: Path) -> bytes:
    """What is in it; of a table, all but the times."""
    if file.suffix != ".csv":
        return file.read_bytes()
    with file.open(encoding="utf-8") as lines:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(lines)]
    return json.dumps(rows).encode()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of the student that a training ended with, and of its averages and optimizer."""
    content = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    flat: dict[str, torch.Tensor] = {**content["state_dict"]}
    for number, state in content["optimizer_states"][0]["state"].items():
        flat |= {f"{number}.{name}": value for name, value in state.items()}
    return {**flat, "step": torch.tensor(content["global_step"])}


def seconds_of(start, *command: str) -> float:
    """How long a command takes that nobody kills."""
    began = time.monotonic()
    process = start(*command)
    assert process.status() == 0, process.err
    return time.monotonic() - began


def killed_at(start, moment: float, *command: str) -> None:
    """Starts a command and kills it after some seconds, unless it is done by then."""
    process = start(*command)
    if process.ask({"wait": process.number, "seconds": moment}) is None:
        process.send(signal.SIGKILL)
        assert process.status() in (-signal.SIGKILL, 0)  # or it ended in that very moment


def moments(count: int, whole: float, seed: int) -> list[float]:
    """Seconds, drawn evenly over a whole run."""
    chance = random.Random(seed)
    return [chance.uniform(0.02, 1) * whole for _ in range(count)]


def check_training(start, folder: Path, count: int) -> None:
    whole = seconds_of(start, "train", *TRAIN, "hydra.run.dir=whole")
    wanted = weights(folder / "whole")
    for number, moment in enumerate(moments(count, whole, seed=1)):
        place = f"paths.output_dir=run{number}", f"hydra.run.dir=run{number}/one"
        killed_at(start, moment, "train", *TRAIN, *place)
        process = start("train", *TRAIN, *place)
        assert process.status() == 0, process.err
        found = weights(folder / f"run{number}" / "one")
        assert found.keys() == wanted.keys()
        different = [name for name, value in wanted.items() if not torch.equal(found[name], value)]
        assert different == [], (number, moment)


def test_a_training_that_is_killed_goes_on_to_the_bit(start, tmp_path) -> None:
    check_training(start, tmp_path, count=2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_training_that_is_killed_at_twenty_moments_goes_on_to_the_bit(start, tmp_path) -> None:
    check_training(start, tmp_path, MOMENTS)


@pytest.fixture
def cat2lion(student, tmp_path: Path) -> None:
    """A student, in the test's folder."""
    cat, lion = {"species": "cat"}, {"species": "lion"}
    known = TaskSet([Task("cat2lion", {"cat": "lion"}, source=cat, target=lion)])
    student(known=known).save_pretrained(tmp_path / "student")


def check_resumable(start, folder: Path, name: str, count: int) -> None:
    command, same = OTHERS[name], SAME[name]
    whole = seconds_of(start, *command)
    wanted = digests(folder / "made", *same)
    (folder / "made").rename(folder / "whole")
    for moment in moments(count, whole, seed=2):
        killed_at(start, moment, *command)
        process = start(*command)
        assert process.status() == 0, process.err
        assert digests(folder / "made", *same) == wanted, moment
        shutil.rmtree(folder / "made")
        shutil.rmtree(folder / "outputs", ignore_errors=True)  # LoRAs that drags reuse


@pytest.mark.usefixtures("cat2lion")
@pytest.mark.parametrize("name", ["edit", "edit_by_a_student", "benchmark", "drag_bench"])
def test_a_command_that_is_killed_goes_on_to_the_bit(start, tmp_path, name: str) -> None:
    check_resumable(start, tmp_path, name, count=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("cat2lion")
@pytest.mark.parametrize("name", OTHERS)
def test_one_that_is_killed_at_twenty_moments_goes_on_to_the_bit(start, tmp_path, name) -> None:
    check_resumable(start, tmp_path, name, MOMENTS)


def test_what_is_not_resumable_is_whole_or_not_there(start, tmp_path) -> None:
    asked = ("task=animals", "n=400", "size=32", "out=shards", "samples_per_shard=40")
    killed = start("make_shards", *asked)
    killed.until(lambda: list(tmp_path.glob("shards.partial-*/*.tar")))
    killed.send(signal.SIGKILL)
    killed.status()
    (left,) = tmp_path.glob("shards.partial-*")
    again = start("make_shards", *asked)
    assert again.status() == 0 and not (tmp_path / "shards" / left.name).exists()
    assert json.loads((tmp_path / "shards" / "manifest.json").read_text())["samples"] == 400
    assert f"left behind by a run that did not end: '{left.name}' (" in again.err
    assert left.is_dir()
