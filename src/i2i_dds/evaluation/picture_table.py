"""Held-out pictures beside what a student makes of them: the columns and captions of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from i2i_dds.data.edits import ShardEdits, collate
from i2i_dds.data.images import to_pil
from i2i_dds.student.edit import edit_with_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher


def rows_of(dataset: Dataset, n: int) -> dict[str, Any]:
    """A batch of n items of a held-out set, evenly spaced, so that every task has its share."""
    count = len(dataset)  # type: ignore[arg-type]
    n = min(n, count)
    numbers = [i * count // n for i in range(n)]
    by_epoch = isinstance(dataset, ShardEdits)
    return collate([dataset[(0, i) if by_epoch else i] for i in numbers])


def columns_of(
    batch: Mapping[str, Any],
    student: EditUNet,
    teacher: Teacher,
    tasks: TaskSet,
    others: Mapping[str, list[Image.Image]] | None = None,
) -> dict[str, list[Image.Image]]:
    """A table's columns: source, student, `others`, and the truth where it is known.

    Args:
        batch: The rows; its task numbers are those of `tasks`.
        student: Edits them.
        teacher: Encodes and decodes.
        tasks: See `batch`.
        others: More columns, header -> pictures.
    """
    edited = edit_with_student(student, teacher, batch, tasks)
    columns = {"source": pictures(batch["image"]), "student": pictures(edited), **(others or {})}
    return columns | ({"truth": pictures(batch["truth"])} if "truth" in batch else {})


def captions_of(batch: Mapping[str, Any]) -> list[str]:
    """A line for each row."""
    return [
        f"{source} -> {target}"
        for source, target in zip(batch["source"], batch["target"], strict=True)
    ]


def pictures(x: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] as pictures."""
    return [to_pil(row) for row in x]
