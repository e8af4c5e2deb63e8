"""A student's training: Lightning's, with its caches, beside a straightforward loop."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.research.bench.plain import plain_training
from i2i_dds.research.bench.settings import EPOCHS, TRAINING_TOLERANCE, BenchSettings
from i2i_dds.research.bench.timing import Way, compare
from i2i_dds.research.bench.zero_shot import CAT2LION
from i2i_dds.student.build import new_student, student_shapes
from i2i_dds.student.unet import EditUNet
from i2i_dds.training.defaults import default_timesteps
from i2i_dds.training.module import EditTraining
from i2i_dds.training.schedules import constant

IDENTITY = 0.02
"""Weight of the term that holds the student at the source."""


def training_comparison(teacher: Any, settings: BenchSettings) -> dict[str, Any]:
    """The row, in seconds a picture: the same pictures, timesteps, noise and weights at first.

    Both students are equal to rounding, so at equal quality the ratio is the same.
    """
    batches = training_batches(teacher, settings.train_steps, settings.train_batch)
    pictures = len(batches) * settings.train_batch
    plain, ours = (Way(partial(way, teacher, batches), pictures) for way in (_plain, our_training))
    row = compare(plain, ours, pictures, settings.rounds, TRAINING_TOLERANCE)
    quality = {"same_student_to": row["max_difference"], "steps": len(batches)}
    same = {"ratio_equal_quality": row["ratio"], "quality": quality, "items": pictures}
    return {**row, **same}


def training_batches(teacher: Any, steps: int, size: int) -> list[dict[str, Any]]:
    """Batches of scenes, each shown :data:`EPOCHS` times."""
    count = max(size, round(steps * size / EPOCHS))
    drawn = SceneEdits(CAT2LION, "train", count, 0, teacher.native_size)
    wanted = ("key", "image", "task", "source", "target", "instruction")
    items = [{name: item[name] for name in wanted} for item in map(drawn.__getitem__, range(count))]
    places = [[(step * size + n) % count for n in range(size)] for step in range(steps)]
    return [collate([items[place] for place in batch]) for batch in places]


def _plain(teacher: Any, batches: Sequence[dict[str, Any]], _: int) -> Tensor:
    student, presets = _student(teacher), teacher.presets["train"]
    plain_training(
        teacher,
        student,
        batches,
        seed=0,
        lr=presets["lr"],
        scale=presets["guidance_scale"],
        identity=IDENTITY,
        t_range=(presets["t_min"], presets["t_max"]),
    )
    return _outputs(student, teacher, batches[0])


def our_training(
    teacher: Any,
    batches: Sequence[dict[str, Any]],
    _: int,
    shape: str = "small",
    precision: Any = "32-true",
) -> Tensor:
    """Trains a new student as ``train.py`` does, a step a batch; latents that it then gives out.

    Args:
        teacher: Whose delta it learns.
        batches: What :func:`training_batches` made.
        _: Is not looked at.
        shape: Of the student, see ``conf/student``.
        precision: Lightning's.
    """
    module = EditTraining(
        _student(teacher, shape),
        teacher,
        scheduler=constant,
        guidance=teacher.presets["train"]["guidance_scale"],
        identity=IDENTITY,
        timesteps=default_timesteps(teacher),
        seed=0,
    )
    trainer = Trainer(
        accelerator="gpu" if teacher.device.type == "cuda" else "cpu",
        devices=1,
        precision=precision,
        max_steps=len(batches),
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    loader: Any = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    with warnings.catch_warnings():  # of a validation that there is not, and of its own insides
        warnings.simplefilter("ignore")
        trainer.fit(module, train_dataloaders=loader)
    return _outputs(module.student, teacher, batches[0])


def _student(teacher: Any, shape: str = "small") -> EditUNet:
    student = new_student(teacher, CAT2LION, student_shapes()[shape], seed=0)
    return student.to(teacher.device).train()  # type: ignore[arg-type]


@torch.no_grad()
def _outputs(student: EditUNet, teacher: Any, batch: dict[str, Any]) -> Tensor:
    """The latents that a student makes of a batch, by which two are compared."""
    student = student.to(teacher.device).eval()  # type: ignore[arg-type]
    z = teacher.encode(batch["image"].to(teacher.device))
    return student(z, batch["task"].to(teacher.device)).cpu()
