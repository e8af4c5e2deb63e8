"""Editing with a trained student, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from i2i_dds.checks import as_list, choice, integer, optional, require, several
from i2i_dds.errors import UserError
from i2i_dds.pipelines.output import EditOutput
from i2i_dds.pipelines.pictures import Picture, Size, open_picture, prepare, restore
from i2i_dds.student.load import check_fits, load_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


class Student:
    """A trained image-to-image network, with the autoencoder of its teacher.

    ::

        student = Student.from_pretrained("outputs/train/<run>")
        student("cat.png", task="cat2lion").images[0].save("lion.png")

    Args:
        network: The student.
        teacher: Whose latents it edits.

    Raises:
        UserError: The student belongs to another kind of teacher.
    """

    def __init__(self, network: EditUNet, teacher: Teacher) -> None:
        check_fits(network, teacher, "teacher")
        self.network, self.teacher = network, teacher
        network.to(teacher.device)  # type: ignore[arg-type]

    @classmethod
    def from_pretrained(
        cls, path: str | Path, teacher: str | Teacher = "pocket", **options: Any
    ) -> Student:
        """A student from a run folder of ``train.py``, its ``student`` folder, or a checkpoint.

        Args:
            path: Where it is.
            teacher: The one it was trained with, or its path.
            **options: Of the teacher's loading, see :meth:`StableDiffusionTeacher.load`.

        Raises:
            UserError: Nothing usable is there.
        """
        network = load_student(path, "path")
        if options and not isinstance(teacher, str):
            raise UserError(f"{next(iter(options))}: goes with a teacher's path; give that")
        if isinstance(teacher, str):
            teacher = StableDiffusionTeacher.load(teacher, **options)
        return cls(network, teacher)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks it knows."""
        return self.network.tasks.names

    @torch.no_grad()
    def __call__(
        self,
        images: Picture | Sequence[Picture],
        task: str | None = None,
        *,
        size: Size = None,
        fit: str = "auto",
        batch_size: int = 8,
    ) -> EditOutput:
        """Edits every picture.

        Args:
            images: One picture or a list, see :data:`i2i_dds.pipelines.pictures.Picture`.
            task: Which of :attr:`tasks`; may be left out where it knows one only.
            size: At which pictures are edited; None is their own, or the nearest the VAE allows.
            fit: As in :meth:`EditPipeline.__call__`.
            batch_size: Pictures a network call.

        Raises:
            UserError: An argument is not allowed; the message names it.
        """
        require("batch_size", batch_size, integer(min=1))
        require("size", size, optional(several(integer(min=1))))
        require("fit", fit, choice("auto", "resize", "crop", "error"))
        if not as_list(images):
            raise UserError("images: an empty list; give a picture, or a list of them")
        number = self._number(task)
        prepared = [
            prepare(
                name=str(i),
                key=str(i),
                picture=open_picture(picture),
                source="",
                target=self.tasks[number],
                mask=None,
                vae_scale_factor=self.teacher.vae_scale_factor,
                size=size,
                fit_mode=fit,
            )
            for i, picture in enumerate(as_list(images))
        ]
        images_done: dict[int, Image.Image] = {}
        latents: dict[int, Tensor] = {}
        by_size = sorted(range(len(prepared)), key=lambda i: prepared[i].item.x.shape)
        for _, group in groupby(by_size, key=lambda i: prepared[i].item.x.shape):
            same = list(group)
            for first in range(0, len(same), batch_size):
                part = same[first : first + batch_size]
                x = torch.stack([prepared[i].item.x for i in part])
                z = self._edit(x, number)
                for i, edited, latent in zip(part, self.teacher.decode(z), z, strict=True):
                    images_done[i] = restore(edited, prepared[i].size)
                    latents[i] = latent.cpu()
        return EditOutput(
            images=tuple(images_done[i] for i in range(len(prepared))),
            latents=tuple(latents[i] for i in range(len(prepared))),
            settings={"editor": "student", "task": self.tasks[number]},
        )

    def _edit(self, x: Tensor, number: int) -> Tensor:
        z_src = self.teacher.encode(x.to(self.network.device))
        return self.network(z_src, self.network.condition(self.teacher, [number] * len(x)))

    def _number(self, task: str | None) -> int:
        if task is None and len(self.tasks) == 1:
            return 0
        if task not in self.tasks:
            raise UserError(
                f"task: {task!r} is not allowed; this student knows {', '.join(self.tasks)}"
            )
        return self.tasks.index(task)
