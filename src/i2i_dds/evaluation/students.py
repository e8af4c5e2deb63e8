"""A held-out set through a student, on any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.data.datamodule import EvalLoader
from i2i_dds.data.edits import SceneEdits, ShardEdits
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.distributed import gather, get_rank_and_world_size
from i2i_dds.editing.interface import EditBatch
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.evaluation.metric import ranking_metrics
from i2i_dds.evaluation.photographs import PHOTO_METRICS
from i2i_dds.evaluation.summary import Evaluation
from i2i_dds.metrics.image import collapse
from i2i_dds.student.edit import edit_with_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.interface import Teacher

ZERO_SHOT_STEPS = 3
"""Iterations of zero-shot editing that are timed, after one that is not."""

STUDENT_PASSES = 3
"""Passes of the student that are timed, after one that is not."""

COMPARED_SIDE = 64
"""Pictures larger than this are scaled down to be compared with one another."""


def optimizable() -> tuple[str, ...]:
    """What a sweep may optimize among the numbers of :class:`StudentResult`."""
    times = ("zero_shot_speedup", "seconds_per_image", "seconds_per_image_zero_shot")
    photos = [m.name for m in PHOTO_METRICS.values() if m.higher_is_better is not None]
    return (*ranking_metrics(), *photos, "collapse", *times)


@dataclass(frozen=True)
class StudentResult:
    """A student measured on a held-out set, the same on every process.

    Attributes:
        evaluation: One row a picture.
        numbers: What goes into metrics.json.
    """

    evaluation: Evaluation
    numbers: dict[str, Any]


@torch.no_grad()
def measure_student(
    student: EditUNet,
    evaluator: Evaluator,
    dataset: SceneEdits | ShardEdits,
    batch_size: int,
    zero_shot: LatentOptimization,
    on_progress: Callable[[int, int], None] | None = None,
) -> StudentResult:
    """Edits a held-out set with a student and measures the edits.

    Items are shared out among the processes. Every forward pass has `batch_size` rows, the last
    one's filled up, so that a picture's numbers do not depend on how many processes there are.

    Args:
        student: In evaluation mode; it is moved to the teacher's device.
        evaluator: Measures; its teacher encodes and decodes.
        dataset: `SceneEdits` or `ShardEdits`.
        batch_size: Rows a forward pass.
        zero_shot: What the student's speed is compared with.
        on_progress: Told how many pictures of how many are measured, on the first process.
    """
    teacher = evaluator.teacher
    student.to(teacher.device)  # type: ignore[arg-type]
    student.eval()
    rank, world = get_rank_and_world_size()
    rows, compared, nonfinite = [], [], 0
    for batch in EvalLoader(dataset, batch_size, rank, world):
        count = len(batch["key"])
        full = pad_batch(batch, batch_size)
        edited = edit_with_student(student, teacher, full, evaluator.tasks).cpu()
        nonfinite += int((~torch.isfinite(edited[:count])).sum())
        rows += evaluator(full, edited)[:count]
        compared += _compared(batch, edited)
        if on_progress is not None and rank == 0:
            on_progress(min(len(rows) * world, len(dataset)), len(dataset))
    parts = gather((Evaluation(tuple(rows), nonfinite), compared))
    evaluation = Evaluation.merge(part for part, _ in parts)
    outputs, references = _in_order([pairs for _, pairs in parts])
    timed = pad_batch(next(iter(EvalLoader(dataset, batch_size))), batch_size)
    seconds = measure_seconds(student, evaluator, timed, zero_shot)
    numbers = {
        **evaluation.metrics(),
        "collapse": collapse(outputs, references),
        "seconds_per_image": seconds["student"],
        "seconds_per_image_zero_shot": seconds["zero_shot"],
        "zero_shot_speedup": seconds["zero_shot"] / seconds["student"],
        "zero_shot_steps": zero_shot.steps,
        "batch_size": batch_size,
    }
    return StudentResult(evaluation, numbers)


@torch.no_grad()
def measure_seconds(
    student: EditUNet, evaluator: Evaluator, batch: Mapping[str, Any], zero_shot: LatentOptimization
) -> dict[str, float]:
    """Seconds for each picture of a batch, by the student and by zero-shot editing.

    Both from pictures to pictures on the same batch, after a warm-up. Of zero-shot editing a few
    iterations are timed, and their mean is multiplied by its number of steps, so without what an
    early stop may spare.

    Returns:
        "student" and "zero_shot".
    """
    teacher, size = evaluator.teacher, len(batch["key"])
    edit_with_student(student, teacher, batch, evaluator.tasks)  # warm-up
    start = _now(teacher)
    for _ in range(STUDENT_PASSES):
        edit_with_student(student, teacher, batch, evaluator.tasks)
    student_seconds = (_now(teacher) - start) / STUDENT_PASSES
    start = _now(teacher)
    z_src = teacher.encode(batch["image"].to(teacher.device))
    text_src, text_tgt = teacher.embed(batch["source"]), teacher.embed(batch["target"])
    teacher.decode(z_src)
    around = _now(teacher) - start
    generators = item_generators(0, batch["key"])
    enough = replace(zero_shot, steps=max(zero_shot.steps, 1 + ZERO_SHOT_STEPS), stop=None)
    items = EditBatch(z_src, text_src=text_src, text_tgt=text_tgt, generators=generators)
    steps: Iterator[Any] = enough(teacher, items)
    next(steps)  # warm-up
    start = _now(teacher)
    timed = sum(1 for _ in islice(steps, ZERO_SHOT_STEPS))
    a_step = (_now(teacher) - start) / timed
    zero_shot_seconds = around + zero_shot.steps * a_step
    return {"student": student_seconds / size, "zero_shot": zero_shot_seconds / size}


def pad_batch(batch: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The batch with its last item repeated until there are `size`."""
    missing = size - len(batch["key"])
    filled: dict[str, Any] = {}
    for name, values in batch.items():
        if isinstance(values, Tensor):
            filled[name] = torch.cat([values, values[-1:].expand(missing, *values.shape[1:])])
        else:
            filled[name] = [*values, *[values[-1]] * missing] if values else values
    return filled


def _now(teacher: Teacher) -> float:
    if teacher.device.type == "cuda":
        torch.cuda.synchronize(teacher.device)
    return perf_counter()


def _compared(batch: Mapping[str, Any], edited: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each item its edit and what it is to be as different from others as, both small."""
    references = batch.get("truth", batch["image"])
    return list(zip(*map(_small, (edited[: len(references)], references)), strict=True))


def _small(x: Tensor) -> Tensor:
    return x if x.shape[-1] <= COMPARED_SIDE else F.adaptive_avg_pool2d(x, COMPARED_SIDE)


def _in_order(parts: list[list[tuple[Tensor, Tensor]]]) -> tuple[Tensor, Tensor]:
    """The pairs of all processes in the order of the data set, each stacked, (N, ...)."""
    world = len(parts)
    pairs = [parts[i % world][i // world] for i in range(sum(map(len, parts)))]
    outputs, references = zip(*pairs, strict=True)
    return torch.stack(outputs), torch.stack(references)


def build_eval_dataset(data: Any, split: Any, n: int) -> SceneEdits | ShardEdits:
    """A held-out set: `n` scenes for each task, or at most `n` of the pictures kept back.

    Args:
        data: An `EditDataModule`.
        split: "val" or "test".
        n: How many, at least 1.
    """
    dataset = data.dataset(split) if data.held_out != "critters" else None
    if isinstance(dataset, ShardEdits):
        dataset.numbers = dataset.numbers[:n]
        return dataset
    return SceneEdits(data.tasks, split, n, data.seed, data.size)
