"""Students from disk: a saved folder, or the weights inside a training checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from safetensors import SafetensorError

from i2i_dds.errors import UserError
from i2i_dds.reading import expanded, read_object
from i2i_dds.runs import plain
from i2i_dds.student.origin import difference_of_teachers, named
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.loading import check_sizes, first_line, load_whole

STUDENT = "student"
LAST = "checkpoints/last.ckpt"
_PREFIX = "student."

log = logging.getLogger(__name__)

_TRAINING = {
    **dict.fromkeys(("epoch", "global_step"), int),
    **dict.fromkeys(("loops", "callbacks"), dict),
    **dict.fromkeys(("optimizer_states", "lr_schedulers"), list),
    "pytorch-lightning_version": str,
}
"""What Lightning goes on from, beside the weights."""


def load_student(path: str | Path, argument: str = "path") -> EditUNet:
    """The student at `path`, in float32 on the CPU, in evaluation mode.

    Args:
        path: A folder written by ``save_pretrained``, a run folder of ``train.py`` (its finished
            student, else its last checkpoint), or a checkpoint file.
        argument: What the caller calls it, for errors.

    Raises:
        UserError: Nothing is there, or it is no student.
    """
    path = expanded(path)
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


def read_checkpoint(path: str | Path, argument: str = "path") -> dict[str, Any]:
    """What a checkpoint of training holds; only tensors and plain values are ever unpickled.

    Raises:
        UserError: No such file, damaged, or of something else.
    """
    path = expanded(path)
    if not path.is_file():
        raise UserError(
            f"{argument}: '{path}' does not exist; give a checkpoint, such as <run>/{LAST}"
        )
    try:
        _check_zip(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {**content, "student": _config_of_student(content)}
    except MemoryError:
        raise
    except Exception as error:  # whatever half a file, or one with a flipped bit, raises
        raise UserError(
            f"{argument}: '{path}' is no checkpoint of train.py, or damaged; give <run>/{LAST}"
        ) from error


def check_resumable(content: Mapping[str, Any], argument: str, path: Any) -> None:
    """Refuses a checkpoint that a student can be read from, but no training can go on from.

    Raises:
        UserError: One of the parts that Lightning wants is missing.
    """
    for name, kind in _TRAINING.items():
        if not isinstance(content.get(name), kind):
            raise UserError(
                f"{argument}: '{path}' has no {name}, so that no training can go on from it; "
                f"give <run>/{LAST}"
            )


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
        # Its teacher is compared with the one at hand, by `check_fits`.
        if config.get(name) != value and name not in ("tasks", "teacher"):
            raise UserError(
                f"{argument}: '{path}' is another student, whose {name} differs; "
                "give the settings of student it was trained with, or another checkpoint"
            )


def check_fits(student: EditUNet, teacher: Teacher, argument: str = "student") -> None:
    """Refuses a student of another teacher's latents or texts.

    Raises:
        UserError: They differ.
    """
    advice = "give teacher=<the one it was trained with>"
    if student.latent_channels != teacher.latent_channels:
        raise UserError(
            f"{argument}: the student edits latents of {student.latent_channels} channels, the "
            f"teacher has {teacher.latent_channels}; {advice}"
        )
    reads_text = student.conditioning == "text"
    if reads_text:
        width = teacher.embed([""]).embeddings.shape[-1]
        if width != student.config["text_width"]:
            raise UserError(
                f"{argument}: the student reads texts of width {student.config['text_width']}, the "
                f"teacher's have {width}; {advice}"
            )
    text = student.tasks[0].instruction if reads_text else None
    check_origin(student.teacher, teacher, text, argument)


def check_origin(
    origin: Mapping[str, Any] | None, teacher: Teacher, text: str | None, argument: str
) -> None:
    """Refuses another teacher than a student says it was trained with.

    Args:
        origin: What it says; None, of students saved before they said so, is logged and taken.
        teacher: The one at hand.
        text: An instruction that the student reads; None if it reads no text.
        argument: What the caller calls the student, for errors.

    Raises:
        UserError: It is another.
    """
    if origin is None:
        log.warning(
            "%s: it does not say which teacher it was trained with; with another it edits badly",
            argument,
        )
        return
    if reason := difference_of_teachers(origin, teacher, text):
        raise UserError(
            f"{argument}: the student was trained with another teacher ({named(origin)}), "
            f"{reason}; give teacher=<the one it was trained with>"
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
        content = read_object(folder / EditUNet.config_name, "path", "a config")
    except UserError:
        return False
    return content.get("_class_name") == EditUNet.__name__


def _check_zip(path: Path) -> None:
    """Looks at the checksums, which torch writes but passes over; as it writes, not compressed.

    Raises:
        BadZipFile: It is no such archive, or one of them differs.
    """
    with ZipFile(path) as archive:
        if any(member.compress_type != ZIP_STORED for member in archive.infolist()):
            raise BadZipFile("its members are compressed")
        flipped = archive.testzip()
    if flipped is not None:
        raise BadZipFile(f"the checksum of {flipped} differs")


def _config_of_student(content: Mapping[str, Any]) -> dict[str, Any]:
    """The student's arguments, of a content that has them, its tasks' names and its weights.

    Raises:
        KeyError, TypeError, ValueError: Something is missing, or of another kind.
    """
    config = dict(content["hyper_parameters"]["student"])
    names = [str(task["name"]) for task in config["tasks"]]
    weights = dict(content["state_dict"])
    if not names or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError("it has no task, or weights that are no tensors")
    return config


def _from_folder(folder: Path, argument: str) -> EditUNet:
    called = f"{argument}: the student in '{folder}'"
    options = {"local_files_only": True, "torch_dtype": torch.float32}
    try:
        return load_whole(EditUNet, str(folder), called, **options).eval()
    except (UserError, OSError, SafetensorError) as error:
        if str(error).startswith(called):
            raise
        raise UserError(
            f"{called} is not complete or damaged ({first_line(error)}); give another one"
        ) from error


def _from_checkpoint(path: Path, argument: str) -> EditUNet:
    content = read_checkpoint(path, argument)
    weights = {
        name.removeprefix(_PREFIX): value
        for name, value in content["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    try:
        check_sizes(content["student"], f"{argument}: '{path}'", "give another one")
        with torch.device("meta"):  # which takes no memory, whatever the file asks for
            student = EditUNet(**content["student"])
        student.load_state_dict(weights, assign=True)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # any: the shape of a network is built of the file's words
        raise UserError(
            f"{argument}: '{path}' is of another version of the student; give another one"
        ) from error
    return student.float().eval()
