"""``edit.py editor=student``: a trained student on a user's own pictures, and on scenes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_dds import Student
from i2i_dds.cli.edit import main
from i2i_dds.cli.train import main as train
from i2i_dds.critters import render, scenes
from i2i_dds.student.build import new_student
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
SIZES = {"a": (32, 32), "b": (45, 38), "c": (32, 32)}


def save_student(folder: Path, teacher: Any, *names: str, conditioning: str = "task") -> None:
    made = [
        Task(
            f"{before}2{after}",
            {before: after},
            instruction=f"turn the {before} into a {after}",
            source={"species": before},
            target={"species": after},
        )
        for before, after in (name.split("2") for name in names)
    ]
    net = new_student(teacher, TaskSet(made), SHAPE, conditioning)
    torch.manual_seed(0)
    torch.nn.init.normal_(net.net.conv_out.weight, std=0.5)
    net.save_pretrained(folder)


@pytest.fixture
def teacher(pocket: Path) -> StableDiffusionTeacher:
    return StableDiffusionTeacher.load(str(pocket / "teacher"), device="cpu")


@pytest.fixture
def run(typed, teacher, tmp_path: Path):
    """The command, typed beside three pictures, a soft mask and three students."""
    (tmp_path / "photos").mkdir()
    for (name, size), scene in zip(SIZES.items(), scenes("test", 3, species="cat"), strict=True):
        render(scene, 64).resize(size).save(tmp_path / "photos" / f"{name}.png")
    levels = np.zeros((38, 45), np.uint8)
    levels[:, 20:] = 255
    levels[10:20, 5:10] = 100
    Image.fromarray(levels).save(tmp_path / "mask.png")
    save_student(tmp_path / "lion", teacher, "cat2lion")
    save_student(tmp_path / "both", teacher, "cat2lion", "cat2dog")
    teacher.latent_channels = 3
    save_student(tmp_path / "wide", teacher, "cat2lion")
    teacher.latent_channels = 4
    save_student(tmp_path / "reader", teacher, "cat2lion", conditioning="text")

    def run(*arguments: str) -> Any:
        return typed(main, "editor=student", *arguments)

    return run


def pictures(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.asarray(Image.open(path)) for path in (folder / "edited").iterdir()}


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def test_a_folder_as_the_api_edits_it_to_the_bit(run, teacher, tmp_path: Path) -> None:
    folder = run("student=lion", "image=photos", "batch_size=2").folder
    assert {path.name for path in folder.iterdir()} == {
        *("edited", "comparison.png", "trajectory.csv", "result.json")
    }
    student = Student.from_pretrained(tmp_path / "lion", teacher=teacher)
    files = sorted((tmp_path / "photos").iterdir())
    out = student(files, batch_size=2)
    found = pictures(folder)
    for file, image in zip(files, out.images, strict=True):
        assert image.size == SIZES[file.stem]
        assert np.array_equal(np.asarray(image), found[file.stem])
        assert not np.array_equal(np.asarray(image), np.asarray(Image.open(file)))
    assert result(folder)["items"][0]["target"] == "cat2lion"
    assert out.settings["task"] == "cat2lion"


def test_outside_its_mask_a_picture_stays_to_the_bit_and_soft_edges_are_linear(
    run, teacher, tmp_path: Path
) -> None:
    told = "student=lion", "image=photos/b.png"
    free = pictures(run(*told, "paths.suffix=-free").folder)["b"].astype(float)
    held = pictures(run(*told, "mask=mask.png").folder)["b"]
    source = np.asarray(Image.open(tmp_path / "photos/b.png"))
    mask = np.asarray(Image.open(tmp_path / "mask.png"))[..., None]
    outside, inside = (
        np.broadcast_to(mask == 0, held.shape),
        np.broadcast_to(mask == 255, held.shape),
    )
    assert np.array_equal(held[outside], source[outside])
    assert np.array_equal(held[inside], free[inside])
    expected = source + mask / 255 * (free - source)
    assert np.abs(held - expected).max() <= 0.51 and not np.array_equal(free, source)
    student = Student.from_pretrained(tmp_path / "lion", teacher=teacher)
    out = student(tmp_path / "photos/b.png", mask=tmp_path / "mask.png")
    assert np.array_equal(np.asarray(out.images[0]), held)


def test_sizes_as_told(run) -> None:
    told = "student=lion", "image=photos/b.png"
    for name, size in (("resize", (44, 40)), ("crop", (44, 36))):
        folder = run(*told, f"fit={name}", f"paths.suffix=-{name}").folder
        assert Image.open(folder / "edited" / "b.png").size == size
    assert Image.open(run(*told, "size=64").folder / "edited" / "b.png").size == SIZES["b"]
    assert run(*told, "fit=error").sentence.startswith("error: size: the picture is 45x38")


def test_each_of_its_tasks_and_all_of_them(run, teacher, tmp_path: Path) -> None:
    names = "cat2lion", "cat2dog", "cat2tiger", "dog2fox"
    save_student(tmp_path / "four", teacher, *names)
    student = Student.from_pretrained(tmp_path / "four", teacher=teacher)
    out = student(tmp_path / "photos/a.png", task=names)
    four = pictures(run("student=four", "task=animals", "image=photos/a.png").folder)
    one = run("student=four", "task=cat2dog", "image=photos/a.png", "paths.suffix=-one").folder
    for number, (name, image) in enumerate(zip(names, out.images, strict=True), 1):
        assert np.array_equal(np.asarray(image), four[f"a-{number}"]), name
    assert len({image.tobytes() for image in out.images}) == 4
    alone = student(tmp_path / "photos/a.png", task="cat2dog").images[0]
    assert np.array_equal(np.asarray(alone), pictures(one)["a"])


def test_a_student_that_reads_text_takes_orders(run, teacher, tmp_path: Path) -> None:
    told = "student=reader", "image=photos/a.png"
    own = pictures(run(*told, "paths.suffix=-own").folder)["a"]
    same = run(*told, "prompt.target=turn the cat into a lion", "paths.suffix=-same").folder
    assert np.array_equal(own, pictures(same)["a"])
    orders = run(*told, "prompt.target=[turn the cat into a lion,make it snow]").folder
    found = pictures(orders)
    assert np.array_equal(found["a-1"], own) and not np.array_equal(found["a-2"], own)
    student = Student.from_pretrained(tmp_path / "reader", teacher=teacher)
    out = student(tmp_path / "photos/a.png", target="make it snow")
    assert np.array_equal(np.asarray(out.images[0]), found["a-2"])


@pytest.mark.parametrize("student", ["both", "reader"])
def test_on_scenes_it_is_measured(run, student: str) -> None:
    folder = run(f"student={student}", "n=2", "mask=scene").folder
    count = 4 if student == "both" else 2
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["n"] == count and None not in metrics.values()
    assert len(pictures(folder)) == count and result(folder)["evaluations"] == 0


def test_the_student_that_training_leaves_edits(typed, tmp_path: Path) -> None:
    (scene,) = scenes("test", 1, species="cat")
    render(scene, 32).save(tmp_path / "cat.png")
    few = ["trainer.max_steps=2", "data.n_train=4", "data.n_val=2", "data.n_test=2", "final.n=1"]
    few += ["data.batch_size=2", "data.size=32", "zero_shot.steps=1", "callbacks=default"]
    few += [f"student.unet.{name}" for name in ("norm_num_groups=8", "attention_head_dim=1")]
    few += ["student.unet.block_out_channels=[8,8,16]", "trainer.val_check_interval=2"]
    trained = typed(train, "task=cat2lion", *few).folder
    folder = typed(main, "editor=student", f"student={trained}", "image=cat.png").folder
    assert pictures(folder)["cat"].shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "student: none is given; give student=<run folder of train.py>"),
        (("student=none",), "student: 'none' does not exist; give a run folder of train.py"),
        (("student=photos",), "student: 'photos' is no folder of a student; give a run folder"),
        (("student=both",), "task: none is given; this student knows cat2lion, cat2dog; give one"),
        (
            ("student=both", "task=dog2fox"),
            "task: 'dog2fox' is not allowed; this student knows cat",
        ),
        (
            ("student=lion", "task=animals"),
            "task: 'cat2dog' is not allowed; this student knows cat",
        ),
        (
            ("student=lion", "prompt.target=a lion"),
            "prompt.target: ['a lion'] are words; this stud",
        ),
        (
            ("student=lion", "prompt.source=a cat"),
            "prompt.source: 'a cat' is not looked at by a st",
        ),
        (("student=lion", "prompt.negative=blur"), "prompt.negative: 'blur' is not looked at by a"),
        (("student=lion", "mask=auto"), "mask: 'auto' needs an editor that reads prompts; give"),
        (("student=lion", "steps=3"), "steps: no such key"),
        (
            ("student=reader", "task=cat2lion", "prompt.target=a lion"),
            "task: it does not go with prompt.target; give one of them",
        ),
        (
            ("student=wide",),
            "student: the student edits latents of 3 channels, the teacher has 4; ",
        ),
        (("editor=zero_shot", "student=lion"), "student: 'lion' goes with editor=student; leave"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    done = run(*arguments, "image=photos")
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}"), done.sentence
    assert not list(tmp_path.glob("outputs/edit/*"))
