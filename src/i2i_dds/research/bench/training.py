"""A student's training: Lightning's, with its caches, beside a straightforward loop."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.evaluation.held_out import build_eval_batch
from i2i_dds.evaluation.measure import Evaluator, load_judge
from i2i_dds.research.bench.plain import plain_training
from i2i_dds.research.bench.precisions import by_precision
from i2i_dds.research.bench.quality import Quality
from i2i_dds.research.bench.settings import (
    EPOCHS,
    EPOCHS_OF_DRAWS,
    TRAINING_TOLERANCE,
    BenchSettings,
)
from i2i_dds.research.bench.timing import Way, compare, fastest, times
from i2i_dds.research.bench.zero_shot import CAT2LION
from i2i_dds.student.build import new_student, student_shapes
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.training.defaults import default_optimizer, default_timesteps
from i2i_dds.training.module import EditTraining
from i2i_dds.training.schedules import constant

FOUR_TASKS = TaskSet(
    [Task(f"cat2{to}", replace={"cat": to}) for to in ("lion", "dog", "tiger", "fox")]
)
"""What one student learns of each picture, side by side in a batch."""

SINGLE: Any = "32-true"
"""Lightning's precision of a student beside a teacher of float32."""

PRECISIONS: dict[str, Any] = {"float32": SINGLE, "bfloat16": "bf16-mixed"}
"""The teacher's type -> Lightning's precision of a student that is trained beside it."""

IDENTITY = 0.02
"""Weight of the term that holds the student at the source."""


def training_row(teacher: Any, teacher_path: str, settings: BenchSettings) -> dict[str, Any]:
    """One task: the same student, and at equal quality one that asks less of the teacher.

    That one has ``train_guidance``, where 1 asks for half of the rows, ``train_draws``, whose
    answers about the source are kept, for which it sees fewer pictures more often, and
    ``dtype``. The plain loop has the preset's guidance and new noise in both.

    Args:
        teacher: Who is asked, in float32.
        teacher_path: Where it was loaded from.
        settings: The sizes.
    """
    row = training_comparison(teacher, settings)
    draws = settings.train_draws
    epochs = EPOCHS if draws is None else EPOCHS_OF_DRAWS
    how = {"guidance": settings.train_guidance, "draws": draws, "epochs": epochs}
    make = partial(training_batches, teacher, settings.train_steps, settings.train_batch)
    batches, ours = make(), make(epochs=epochs)
    pictures = sum(len(batch["key"]) for batch in batches)
    teachers = by_precision(teacher, teacher_path, settings.dtype)
    recipes = {name: {"precision": PRECISIONS[name], **how} for name in teachers}
    ways = {
        name: Way(partial(our_training, asked, ours, **recipes[name]), pictures)
        for name, asked in teachers.items()
    }
    dtype = fastest(ways)
    plain = Way(partial(_plain, teacher, batches), pictures)
    quality = _quality(teacher, teachers[dtype], recipes[dtype], settings)
    equal = quality.columns(times(plain, ways[dtype], settings.rounds))
    return {**row, **equal, "dtype": dtype, **how, "student_steps": settings.student_steps}


def _quality(
    teacher: Any, asked: Any, recipe: Mapping[str, Any], settings: BenchSettings
) -> Quality:
    """What both students are worth on held-out scenes."""
    make = partial(training_batches, teacher, settings.student_steps, settings.train_batch)
    evaluator = Evaluator(CAT2LION, teacher, load_judge("pocket"))
    data = build_eval_batch(evaluator, "test", settings.quality_n, 0, teacher.native_size)

    @torch.no_grad()
    def worth(student: EditUNet) -> dict[str, float]:
        student = student.to(teacher.device).eval()  # type: ignore[arg-type]
        first = torch.zeros(len(data.z), dtype=torch.long, device=teacher.device)
        parts = zip(data.z.split(32), first.split(32), strict=True)
        measured = data.measures(torch.cat([student(z, task) for z, task in parts]))
        return {name: measured[name] for name in ("psnr_truth", "success")}

    ours = worth(_trained(asked, make(epochs=recipe["epochs"]), CAT2LION, **recipe))
    return Quality(settings.quality_n, worth(_trained_plainly(teacher, make())), ours)


def training_comparison(
    teacher: Any, settings: BenchSettings, tasks: TaskSet = CAT2LION
) -> dict[str, Any]:
    """The row, in seconds an edit: the same pictures, timesteps, noise and weights at first.

    Both students are equal to rounding, so at equal quality the ratio is the same.
    """
    batches = training_batches(teacher, settings.train_steps, settings.train_batch, tasks)
    pictures = sum(len(batch["key"]) for batch in batches)
    plain, ours = (
        Way(partial(way, teacher, batches, tasks=tasks), pictures) for way in (_plain, our_training)
    )
    row = compare(plain, ours, pictures, settings.rounds, TRAINING_TOLERANCE)
    quality = {"same_student_to": row["max_difference"], "steps": len(batches)}
    same = {"ratio_equal_quality": row["ratio"], "quality": quality, "items": pictures}
    return {**row, **same}


def training_batches(
    teacher: Any, steps: int, size: int, tasks: TaskSet = CAT2LION, epochs: float = EPOCHS
) -> list[dict[str, Any]]:
    """Batches of scenes of cats; after an epoch's they come again.

    Args:
        teacher: At whose size they are drawn.
        steps: Batches.
        size: Edits of a batch, at least; a picture has one for each task.
        tasks: What is done to each picture.
        epochs: How often each is shown.
    """
    pictures, length = max(1, size // len(tasks)), _epoch_length(steps, epochs)
    drawn = SceneEdits(CAT2LION, "train", length * pictures, 0, teacher.native_size)
    items = [_edits_of(tasks, drawn[number]) for number in range(len(drawn))]
    lots = [items[first : first + pictures] for first in range(0, len(items), pictures)]
    epoch = [collate([edit for edits in lot for edit in edits]) for lot in lots]
    return [epoch[step % length] for step in range(steps)]


def _epoch_length(steps: int, epochs: float) -> int:
    """Batches of one of so many epochs, the last of which may be cut short."""
    return max(1, round(steps / epochs))


def _edits_of(tasks: TaskSet, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One picture, a row for each task."""
    wanted = {name: item[name] for name in ("key", "image")}
    prompts = [task.prompts(item["caption"]) for task in tasks]
    return [{**wanted, "task": number, **asdict(one)} for number, one in enumerate(prompts)]


def _plain(
    teacher: Any, batches: Sequence[dict[str, Any]], _: int, tasks: TaskSet = CAT2LION
) -> Tensor:
    return _outputs(_trained_plainly(teacher, batches, tasks), teacher, batches[0])


def _trained_plainly(
    teacher: Any, batches: Sequence[dict[str, Any]], tasks: TaskSet = CAT2LION
) -> EditUNet:
    student, presets = _student(teacher, tasks), teacher.presets["train"]
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
    return student


def our_training(
    teacher: Any,
    batches: Sequence[dict[str, Any]],
    _: int,
    tasks: TaskSet = CAT2LION,
    shape: str = "small",
    precision: Any = SINGLE,
    guidance: float | None = None,
    draws: int | None = None,
    epochs: float = EPOCHS,
) -> Tensor:
    """Trains a new student, a step a batch; latents that it then gives out.

    As ``train.py optimizer.fused=true`` does.

    Args:
        teacher: Whose delta it learns.
        batches: What :func:`training_batches` made.
        _: Is not looked at.
        tasks: What it learns.
        shape: Of the student, see ``conf/student``.
        precision: Lightning's.
        guidance: Of the teacher's answers; None is the preset's.
        draws: Timesteps and noises of each picture, whose answers are kept; None draws anew.
        epochs: With which the batches were made.
    """
    student = _trained(teacher, batches, tasks, shape, precision, guidance, draws, epochs)
    return _outputs(student, teacher, batches[0])


def _trained(
    teacher: Any,
    batches: Sequence[dict[str, Any]],
    tasks: TaskSet,
    shape: str = "small",
    precision: Any = SINGLE,
    guidance: float | None = None,
    draws: int | None = None,
    epochs: float = EPOCHS,
) -> EditUNet:
    module = EditTraining(
        _student(teacher, tasks, shape),
        teacher,
        optimizer=partial(default_optimizer(teacher), fused=True),
        scheduler=constant,
        guidance=teacher.presets["train"]["guidance_scale"] if guidance is None else guidance,
        identity=IDENTITY,
        timesteps=default_timesteps(teacher),
        seed=0,
        source_draws=draws,
    )
    trainer = Trainer(
        accelerator="gpu" if teacher.device.type == "cuda" else "cpu",
        devices=1,
        precision=precision,
        max_steps=len(batches),
        max_epochs=-1,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    epoch: Any = batches[: _epoch_length(len(batches), epochs)]
    loader: Any = DataLoader(epoch, batch_size=None)
    with warnings.catch_warnings():  # of a validation that there is not, and of its own insides
        warnings.simplefilter("ignore")
        trainer.fit(module, train_dataloaders=loader)
    return module.student


def _student(teacher: Any, tasks: TaskSet, shape: str = "small") -> EditUNet:
    student = new_student(teacher, tasks, student_shapes()[shape], seed=0)
    return student.to(teacher.device).train()  # type: ignore[arg-type]


@torch.no_grad()
def _outputs(student: EditUNet, teacher: Any, batch: dict[str, Any]) -> Tensor:
    """The latents that a student makes of a batch, by which two are compared."""
    student = student.to(teacher.device).eval()  # type: ignore[arg-type]
    z = teacher.encode(batch["image"].to(teacher.device))
    return student(z, batch["task"].to(teacher.device)).cpu()
