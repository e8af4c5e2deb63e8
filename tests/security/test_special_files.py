"""Pipes, devices, sockets and links in a circle in the place of a file: one sentence, no hang."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from i2i_dds.cli import drag, edit, evaluate, make_shards
from i2i_dds.data import dragbench, piebench
from i2i_dds.data.folders import folder_samples
from i2i_dds.data.images import list_images, load_image, load_mask
from i2i_dds.data.shards import Shards
from i2i_dds.data.text import read_prompts
from i2i_dds.editing.lora_teacher import LoraTeacher
from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import load_judge
from i2i_dds.metrics.clip import Clip
from i2i_dds.pocket import directory
from i2i_dds.resumable import SETTINGS, check_same
from i2i_dds.student.load import load_student, read_checkpoint
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.training.checkpoints import newest_checkpoint


def pipe(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def listening(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # the name of a socket may have 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(before)


KINDS = [pipe, zeros, circle, listening]

READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "picture": ("a.png", load_image),
    "mask": ("a.png", lambda path: load_mask(path, (4, 4))),
    "list of pictures": ("a.png", list_images),
    "prompts": ("a.txt", read_prompts),
    "captions": ("metadata.jsonl", lambda path: list(folder_samples(path.parent))),
    "caption": ("a.txt", lambda path: list(folder_samples(path.parent))),
    "shard": ("a.tar", lambda path: Shards(path.parent)),
    "manifest": ("manifest.json", lambda path: Shards(path.parent)),
    "checkpoint": ("a.ckpt", read_checkpoint),
    "student": ("a.ckpt", load_student),
    "student's folder": ("config.json", lambda path: load_student(path.parent)),
    "PIE-Bench": (piebench.MAPPING, lambda path: piebench.list_items(path.parent)),
    "drag": ("prompt.json", lambda path: dragbench.load_item(path.parent)),
    "CLIP": ("preprocessor_config.json", lambda path: Clip.load(path.parent)),
    "judge": ("config.json", lambda path: load_judge(path.parent)),
    "teacher": ("model_index.json", lambda path: StableDiffusionTeacher.load(str(path.parent))),
    "run": ("config.json", lambda path: newest_checkpoint({"task": {"name": ""}, "seed": 1},
                                                          path.parent)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_in_the_place_of_a_file(tmp_path: Path, cat: Path, reader: str, kind) -> None:
    name, read = READERS[reader]
    folder = tmp_path / "in"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").touch()
    if reader in ("caption", "captions"):
        shutil.copy(cat, folder / "a.png")
    kind(folder / name)
    with pytest.raises(UserError) as error:
        read(folder / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "/dev/random", "/proc/self/mem"])
@pytest.mark.parametrize("reader", ["picture", "mask", "prompts", "checkpoint", "student"])
def test_a_device_by_its_own_name(reader: str, path: str) -> None:
    with pytest.raises(UserError):
        READERS[reader][1](Path(path))


PARTS = [
    *("model_index.json", "scheduler/scheduler_config.json", "unet/config.json"),
    *("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"),
    *("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", "text_encoder/config.json"),
]


@pytest.mark.parametrize("kind", [pipe, zeros])
@pytest.mark.parametrize("part", PARTS)
def test_in_a_teachers_folder(copy: Path, part: str, kind) -> None:
    (copy / part).unlink()
    kind(copy / part)
    try:
        StableDiffusionTeacher.load(str(copy), device="cpu")
    except UserError:
        return
    assert part.endswith("tokenizer_config.json")  # of which all has a default


@pytest.mark.parametrize("kind", [pipe, zeros])
def test_in_a_clips_folder(tmp_path: Path, kind) -> None:
    for file in (directory() / "clip").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").unlink()
    kind(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="^clip: "):
        Clip.load(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_lora_and_as_a_runs_settings(tmp_path: Path, teacher, kind) -> None:
    kind(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="^lora: "):
        LoraTeacher(teacher, tmp_path / "a.safetensors")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / SETTINGS).write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"^folder: '.*settings\.json' cannot be read as JSON"):
        check_same(tmp_path / "run", {})


COMMANDS = {
    "image": (edit.main, "image={}", "prompt.target=a lion"),
    "mask": (edit.main, "image=cat.png", "prompt.target=a lion", "mask={}"),
    "student": (edit.main, "image=cat.png", "editor=student", "student={}"),
    "ckpt": (evaluate.main, "ckpt={}"),
    "path": (make_shards.main, "source=folder", "path={}", "out=shards"),
    "prompts": (make_shards.main, "source=teacher", "prompts={}", "out=shards"),
    "item": (drag.main, "item={}"),
}


@pytest.mark.parametrize("path", ["pipe", "/dev/zero"])
@pytest.mark.parametrize("key", COMMANDS)
def test_of_a_command(typed, tmp_path: Path, cat: Path, key: str, path: str) -> None:
    pipe(tmp_path / "pipe")
    main, *arguments = COMMANDS[key]
    done = typed(main, *(argument.format(path) for argument in arguments))
    assert (done.code, done.out) == (2, ""), done
    assert done.sentence.startswith(f"error: {key}: '{path}'"), done.sentence
