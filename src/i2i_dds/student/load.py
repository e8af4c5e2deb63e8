"""Students from disk: a saved folder, or the weights inside a training checkpoint."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError

from i2i_dds.errors import UserError
from i2i_dds.runs import plain
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher

STUDENT = "student"
LAST = "checkpoints/last.ckpt"
_PREFIX = "student."


def load_student(path: str | Path, argument: str = "path") -> EditUNet:
    """The student at `path`, in float32 on the CPU, in evaluation mode.

    Args:
        path: A folder written by ``save_pretrained``, a run folder of ``train.py`` (its finished
            student, else its last checkpoint), or a checkpoint file.
        argument: What the caller calls it, for errors.

    Raises:
        UserError: Nothing is there, or it is no student.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return _from_checkpoint(path, argument)
    for folder in (path, path / STUDENT):
        if (folder / EditUNet.config_name).is_file() and _says_student(folder):
            return _from_folder(folder, argument)
    if (path / LAST).is_file():
        return _from_checkpoint(path / LAST, argument)
    what = "is no folder of a student" if path.is_dir() else "does not exist"
    raise UserError(
        f"{argument}: '{path}' {what}; "
        "give a run folder of train.py, a saved student or a checkpoint"
    )


_DAMAGED = (
    *(OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError),
    *(pickle.UnpicklingError, BadZipFile),
)
"""What reading half a file, or one with a flipped bit, raises."""


def read_checkpoint(path: str | Path, argument: str = "path") -> dict[str, Any]:
    """What a checkpoint of training holds; only tensors and plain values are ever unpickled.

    Raises:
        UserError: No such file, damaged, or of something else.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(
            f"{argument}: '{path}' does not exist; give a checkpoint, such as <run>/{LAST}"
        )
    try:
        with ZipFile(path) as archive:  # torch writes checksums, but does not look at them
            flipped = archive.testzip()
        if flipped is not None:
            raise BadZipFile(f"the checksum of {flipped} differs")
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {**content, "student": dict(content["hyper_parameters"]["student"])}
    except _DAMAGED as error:
        raise UserError(
            f"{argument}: '{path}' is no checkpoint of train.py, or damaged; give <run>/{LAST}"
        ) from error


def student_config(student: EditUNet) -> dict[str, Any]:
    """The arguments a student was built with, as plain values."""
    return plain({name: v for name, v in student.config.items() if not name.startswith("_")})


def check_same_student(
    student: EditUNet, config: Mapping[str, Any], argument: str, path: Any
) -> None:
    """Refuses a checkpoint of another student than the one at hand.

    Raises:
        UserError: Its tasks, its conditioning or its shape differ.
    """
    mine = student_config(student)
    names, others = ([task["name"] for task in part["tasks"]] for part in (mine, config))
    if names != others:
        raise UserError(
            f"{argument}: '{path}' is a student of {others}, not of {names}; "
            "give its own task, or another checkpoint"
        )
    for name, value in mine.items():
        if config.get(name) != value and name != "tasks":
            raise UserError(
                f"{argument}: '{path}' is another student, whose {name} differs; "
                "give the settings of student it was trained with, or another checkpoint"
            )


def check_fits(student: EditUNet, teacher: Teacher, argument: str = "student") -> None:
    """Refuses a student of another teacher's latents or texts.

    Raises:
        UserError: They differ in width.
    """
    if student.latent_channels != teacher.latent_channels:
        raise UserError(
            f"{argument}: the student edits latents of {student.latent_channels} channels, the "
            f"teacher has {teacher.latent_channels}; give teacher=<the one it was trained with>"
        )
    if student.conditioning == "text":
        width = teacher.embed([""]).embeddings.shape[-1]
        if width != student.config["text_width"]:
            raise UserError(
                f"{argument}: the student reads texts of width {student.config['text_width']}, the "
                f"teacher's have {width}; give teacher=<the one it was trained with>"
            )


def check_knows(student: EditUNet, tasks: TaskSet, argument: str = "tasks") -> None:
    """Refuses tasks that a student with learned tokens was not trained on.

    Raises:
        UserError: It does not know one of them.
    """
    for name in tasks.names if student.conditioning == "task" else ():
        if name not in student.tasks.names:
            raise UserError(
                f"{argument}: this student does not know '{name}'; "
                f"it knows {list(student.tasks.names)}"
            )


def _says_student(folder: Path) -> bool:
    try:
        content = json.loads((folder / EditUNet.config_name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("_class_name") == EditUNet.__name__


def _from_folder(folder: Path, argument: str) -> EditUNet:
    try:
        return EditUNet.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, torch_dtype=torch.float32
        ).eval()
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(
            f"{argument}: the student in '{folder}' is not complete or damaged; give another one"
        ) from error


def _from_checkpoint(path: Path, argument: str) -> EditUNet:
    content = read_checkpoint(path, argument)
    weights = {
        name.removeprefix(_PREFIX): value
        for name, value in content["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    try:
        student = EditUNet(**content["student"])
        student.load_state_dict(weights)
    except (RuntimeError, TypeError, KeyError) as error:
        raise UserError(
            f"{argument}: '{path}' is of another version of the student; give another one"
        ) from error
    return student.float().eval()
