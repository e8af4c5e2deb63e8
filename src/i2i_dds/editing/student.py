"""A trained student as an editor: one pass, and no prompts but its instruction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.errors import UserError
from i2i_dds.student.load import load_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class StudentEditor:
    """Edits as a student was trained to.

    It was trained on whole pictures, so masks hold its pixels and not its latents: its edit is laid
    over the source, and where the mask is black the source stays to the bit.

    Attributes:
        network: The student, on the device of the teacher that it is called with.
    """

    network: EditUNet

    masks_pixels = True

    @classmethod
    def load(cls, path: str | Path, argument: str = "path") -> StudentEditor:
        """The student at a path, see :func:`i2i_dds.student.load.load_student`.

        Raises:
            UserError: Nothing is there, or it is no student.
        """
        return cls(load_student(path, argument))

    def __call__(self, teacher: Teacher, batch: EditBatch) -> Iterator[EditStep]:
        """Edits a batch in one step."""
        network, told = self.network, batch.instructions
        if network.conditioning == "task":
            numbers = [network.tasks.index(name) for name in told]
            condition = network.condition(teacher, numbers)
        else:
            condition = network.condition(teacher, [0] * len(told), told)
        z = network(batch.z_src, condition)
        yield EditStep(
            step=0,
            steps=1,
            z=z,
            t=torch.full((len(z),), network.timestep),
            gradient_norm=torch.full((len(z),), float("nan")),
            distance=(z - batch.z_src).flatten(1).norm(dim=1),
            nonfinite=(~torch.isfinite(z)).sum(),
        )

    def instructions(
        self,
        tasks: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
        names: tuple[str, str] = ("task", "target"),
    ) -> list[str]:
        """What the student is to be told for each edit of a picture.

        Args:
            tasks: Names of tasks; may be left out where it knows one only.
            targets: Orders in words, of a student that reads text.
            names: What the caller calls the two, for errors.

        Raises:
            UserError: It does not know a task, reads no text, or both are given.
        """
        network, known = self.network, self.network.tasks
        task, target = names
        knows = f"this student knows {', '.join(known.names)}"
        if targets is not None:
            if network.conditioning == "task":
                raise UserError(f"{target}: {list(targets)} are words; {knows}, and reads no text")
            if tasks is not None:
                raise UserError(f"{task}: it does not go with {target}; give one of them")
            return list(targets)
        if tasks is None:
            if len(known) > 1:
                raise UserError(f"{task}: none is given; {knows}; give one of them")
            tasks = known.names
        for name in tasks:
            if name not in known.names:
                raise UserError(f"{task}: {name!r} is not allowed; {knows}")
        if network.conditioning == "task":
            return list(tasks)
        return [known[known.index(name)].instruction for name in tasks]
