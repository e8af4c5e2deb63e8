"""A batch of pictures through a student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher


@torch.no_grad()
def edit_with_student(
    student: EditUNet, teacher: Teacher, batch: Mapping[str, Any], tasks: TaskSet | None = None
) -> Tensor:
    """Edited pictures, (B, 3, H, W) in [-1, 1].

    Args:
        student: On the teacher's device.
        teacher: Encodes and decodes.
        batch: With "image", "task" and "instruction".
        tasks: The set whose numbers the batch has; None is the student's own.
    """
    z_src = teacher.encode(batch["image"].to(student.device))
    numbers = batch["task"]
    if tasks is not None and student.conditioning == "task":
        numbers = [student.tasks.index(tasks[int(number)].name) for number in numbers]
    condition = student.condition(teacher, numbers, batch["instruction"])
    return teacher.decode(student(z_src, condition))
