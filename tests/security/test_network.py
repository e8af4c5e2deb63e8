"""Nothing is fetched unless a hub id is asked for: an address in the place of a path is a path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from i2i_dds.cli import drag, edit, evaluate, lora, make_shards, train
from i2i_dds.data import dragbench, piebench
from i2i_dds.data.folders import folder_samples
from i2i_dds.data.images import list_images, load_image
from i2i_dds.data.shards import Shards
from i2i_dds.data.text import read_prompts
from i2i_dds.editing.lora_teacher import LoraTeacher
from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import load_judge
from i2i_dds.metrics.clip import Clip
from i2i_dds.metrics.structure import StructureDistance
from i2i_dds.student.load import load_student, read_checkpoint
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

ADDRESSES = ["http://127.0.0.1:9/a.png", "https://me:pw@example.org/x", "ftp://a/b", "s3://b/k"]
ADDRESSES += ["file:///etc/passwd", "hf://a/b", "//host/share", "data:,x", "gs://a/b/c.ckpt"]


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a network, where all that keeps from asking it is our own code."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def teacher_at(path: str) -> Any:
    return StableDiffusionTeacher.load(path, device="cpu")


READERS: list[Callable[[str], Any]] = [
    *(load_image, list_images, read_prompts, Shards, load_student, read_checkpoint, load_judge),
    *(Clip.load, piebench.list_items, dragbench.list_items, dragbench.load_item),
    *(lambda path: list(folder_samples(path)), teacher_at),
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__qualname__)
def test_by_python(read: Callable[[str], Any], address: str) -> None:
    with pytest.raises(UserError):
        read(address)


def test_a_lora(teacher) -> None:
    for address in ADDRESSES:
        with pytest.raises(UserError, match="^lora: "):
            LoraTeacher(teacher, address)


COMMANDS = {
    "image": (edit.main, "image={}", "prompt.target=a lion"),
    "mask": (edit.main, "image=cat.png", "prompt.target=a lion", "mask={}"),
    "judge": (edit.main, "judge={}", "n=1", "steps=1"),
    "student": (edit.main, "image=cat.png", "editor=student", "student={}"),
    "teacher.path": (edit.main, "teacher.path={}", "n=1", "steps=1"),
    "ckpt": (evaluate.main, "ckpt={}"),
    "ckpt_path": (train.main, "task=cat2lion", "ckpt_path={}", "data.n_train=2", "data.size=32"),
    "data.folder": (train.main, "task=cat2lion", "data=folder", "data.folder={}"),
    "path": (make_shards.main, "source=folder", "path={}", "out=shards"),
    "prompts": (make_shards.main, "source=teacher", "prompts={}", "out=shards"),
    "item": (drag.main, "item={}"),
    "lora image": (lora.main, "image={}", "prompt=a cat"),
}


@pytest.mark.parametrize("key", COMMANDS)
def test_by_command(typed, tmp_path: Path, cat: Path, key: str) -> None:
    main, *arguments = COMMANDS[key]
    address = "http://127.0.0.1:9/a.png"
    done = typed(main, *(argument.format(address) for argument in arguments))
    assert (done.code, done.out) == (2, ""), done
    assert done.sentence.startswith(f"error: {key.split()[-1]}: "), done.sentence


@pytest.mark.parametrize("read", [teacher_at, StructureDistance.load], ids=["teacher", "dino"])
def test_a_hub_id_alone_is_asked_for(read, forbidden: list[str]) -> None:
    """Else all above would prove nothing."""
    with pytest.raises(UserError, match="is not on this machine and could not be downloaded"):
        read("nobody/no-such-model")
    assert forbidden and all(one.startswith("asks the network") for one in forbidden)
    forbidden.clear()
    with pytest.raises(UserError, match="local_files_only is set"):
        StableDiffusionTeacher.load("nobody/no-such-model", local_files_only=True)


def test_whole_commands_ask_nothing(typed, cat: Path) -> None:
    edited = typed(edit.main, "image=cat.png", "prompt.target=a lion", "steps=1")
    assert (edited.folder / "result.json").is_file()
