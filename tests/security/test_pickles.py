"""No pickle is ever loaded, whatever it is called and wherever it lies.

Pickles in shards: `tests/data/test_shards.py`. The autouse fixture `forbidden` hears of any object
that Python's unpickler looks up, besides the file that each of these would make.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from i2i_dds.data.dragbench import load_item
from i2i_dds.editing.lora_teacher import LoraTeacher
from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import load_judge
from i2i_dds.metrics.clip import Clip
from i2i_dds.pocket import directory
from i2i_dds.student.load import load_student, read_checkpoint
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from tests.security.watch import Forbidden

WEIGHTS = ("diffusion_pytorch_model.safetensors", "model.safetensors")


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self.file,))


@pytest.fixture
def payload(tmp_path: Path):
    """What shall not run; that it did not is looked at in the end."""
    yield Payload(tmp_path / "ran")
    assert not (tmp_path / "ran").exists()


def old_format(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def new_format(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def renamed(content: Any) -> bytes:
    """As torch writes it, under another name for the folder inside."""
    stream = io.BytesIO()
    made = zipfile.ZipFile(io.BytesIO(new_format(content)))
    with made as archive, zipfile.ZipFile(stream, "w") as other:
        for name in archive.namelist():
            other.writestr(f"x/{name.partition('/')[2]}", archive.read(name))
    return stream.getvalue()


FORMATS = [new_format, old_format, renamed, pickle.dumps]


def test_the_payload_runs_where_pickles_are_loaded(tmp_path: Path, forbidden: list[str]) -> None:
    """Else all below would prove nothing."""
    data = pickle.dumps(Payload(tmp_path / "ran"))
    with pytest.raises(Forbidden):
        pickle.loads(data)
    assert forbidden.pop().startswith("unpickles: pickle.find_class")
    torch.save(Payload(tmp_path / "ran"), tmp_path / "a.ckpt")
    with pytest.raises(Forbidden):
        torch.load(tmp_path / "a.ckpt", weights_only=False)
    forbidden.clear()


@pytest.mark.parametrize("written", FORMATS)
def test_as_a_checkpoint(tmp_path: Path, payload: Payload, content: dict, written) -> None:
    for evil in (
        {**content, "evil": payload},
        {**content, "state_dict": {"student.a": payload}},
        {"hyper_parameters": payload},
        payload,
    ):
        for path in (tmp_path / "a.ckpt", tmp_path / "run" / "checkpoints" / "last.ckpt"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(written(evil))
        for read in (read_checkpoint, load_student):
            with pytest.raises(UserError, match=r"path: .* is no checkpoint of train\.py"):
                read(tmp_path / "a.ckpt")
        with pytest.raises(UserError, match=r"path: .* is no checkpoint of train\.py"):
            load_student(tmp_path / "run")


@pytest.mark.parametrize("key", ["ckpt", "student"])
def test_as_a_student_of_a_command(typed, tmp_path: Path, payload: Payload, cat, key) -> None:
    from i2i_dds.cli import edit, evaluate

    (tmp_path / "a.ckpt").write_bytes(new_format(payload))
    arguments = {
        "ckpt": (evaluate.main, "ckpt=a.ckpt"),
        "student": (edit.main, "editor=student", "student=a.ckpt", "image=cat.png"),
    }
    done = typed(*arguments[key])
    assert done.code == 2 and done.sentence.startswith(f"error: {key}: 'a.ckpt' is no checkpoint")


def spoil(folder: Path, payload: Payload, name: str) -> None:
    """Puts a pickle beside, or in the place of, the folder's weights."""
    for file in WEIGHTS:
        (folder / file).unlink(missing_ok=True)
    (folder / name).write_bytes(new_format({"a": payload}))


BIN = {
    "model": ["pytorch_model.bin", "model.ckpt", "model.safetensors", "tf_model.h5"],
    "diffusers": ["diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"],
}
BIN["diffusers"] += ["diffusion_pytorch_model.fp16.bin", "diffusion_pytorch_model.ckpt"]


@pytest.mark.parametrize("name", BIN["diffusers"])
@pytest.mark.parametrize("part", ["unet", "vae"])
def test_in_a_teachers_folder(copy: Path, payload: Payload, part: str, name: str) -> None:
    spoil(copy / part, payload, name)
    with pytest.raises(UserError, match=r"^path: .*safetensors|^path: .*(header|complete)"):
        StableDiffusionTeacher.load(str(copy), device="cpu")


@pytest.mark.parametrize("name", BIN["model"])
def test_in_a_teachers_text_encoder(copy: Path, payload: Payload, name: str) -> None:
    spoil(copy / "text_encoder", payload, name)
    with pytest.raises(UserError, match=r"^path: .*(complete|cannot be read)"):
        StableDiffusionTeacher.load(str(copy), device="cpu")


def test_indexes_of_pickled_shards(copy: Path, payload: Payload) -> None:
    spoil(copy / "text_encoder", payload, "pytorch_model-00001-of-00001.bin")
    index = {"metadata": {}, "weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}
    for name in ("pytorch_model.bin.index.json", "model.safetensors.index.json"):
        (copy / "text_encoder" / name).write_text(json.dumps(index))
        with pytest.raises(UserError, match="^path: "):
            StableDiffusionTeacher.load(str(copy), device="cpu")


@pytest.mark.parametrize("name", BIN["model"])
def test_as_a_clip(tmp_path: Path, payload: Payload, name: str) -> None:
    for file in (directory() / "clip").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    spoil(tmp_path, payload, name)
    with pytest.raises(UserError, match="^clip: "):
        Clip.load(tmp_path)


@pytest.mark.parametrize("name", BIN["diffusers"])
def test_as_a_judge_and_as_a_students_folder(
    tmp_path: Path, payload: Payload, judge, student: Callable[..., Any], name: str
) -> None:
    judge.save_pretrained(tmp_path / "judge")
    student().save_pretrained(tmp_path / "student")
    for folder, read in (("judge", load_judge), ("student", load_student)):
        spoil(tmp_path / folder, payload, name)
        with pytest.raises(UserError):
            read(tmp_path / folder)


@pytest.mark.parametrize("name", ["a.safetensors", "a.bin", "pytorch_lora_weights.bin"])
@pytest.mark.parametrize("written", FORMATS)
def test_as_a_lora(teacher, tmp_path: Path, payload: Payload, name: str, written) -> None:
    (tmp_path / name).write_bytes(written({"unet.a.lora_A.weight": payload}))
    with pytest.raises(UserError, match="^lora: .* is no LoRA for this teacher"):
        LoraTeacher(teacher, tmp_path / name)


def test_beside_a_drag(tmp_path: Path, payload: Payload) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "original_image.png")
    Image.new("L", (8, 8), 255).save(tmp_path / "mask.png")
    about = {"prompt": "a cat", "points": [[1, 1], [5, 5]]}
    (tmp_path / "drag_instruction.json").write_text(json.dumps(about))
    (tmp_path / "meta_data.pkl").write_bytes(pickle.dumps(payload))
    assert load_item(tmp_path).points == (((1, 1), (5, 5)),)
