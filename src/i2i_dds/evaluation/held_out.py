"""Held-out scenes with their ground truths, and what edits of them are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.data.images import to_pil
from i2i_dds.data.sources import scene_size
from i2i_dds.evaluation.aggregate import mean
from i2i_dds.evaluation.measure import Evaluator, load_judge
from i2i_dds.evaluation.metric import ranking_metrics
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import Teacher

SHARPNESS_KEPT = "sharpness_kept"
"""The sharpness of an edit over that of the source's reconstruction."""


def measured_names() -> tuple[str, ...]:
    """What :meth:`EvalBatch.measures` gives: metrics of every edit, with the sharpness relative."""
    return (*(name for name in ranking_metrics() if name != "sharpness"), SHARPNESS_KEPT)


@dataclass(frozen=True)
class EvalBatch:
    """B scenes of one split and seed.

    Attributes:
        evaluator: Measures; its teacher is the one that is studied.
        batch: Collated, of `data.edits.SceneEdits`.
        z: Latents of the pictures, (B, C, h, w).
        z_truth: Latents of the ground truths, (B, C, h, w).
        seed: Of the scenes and of all noise.
    """

    evaluator: Evaluator
    batch: Mapping[str, Any]
    z: Tensor
    z_truth: Tensor
    seed: int

    @property
    def teacher(self) -> Any:
        """Who is studied."""
        return self.evaluator.teacher

    @property
    def images(self) -> list[Image.Image]:
        """The source pictures; each has its key for a file name, which seeds its noise."""
        pictures = [to_pil(x) for x in self.batch["image"]]
        for picture, key in zip(pictures, self.batch["key"], strict=True):
            setattr(picture, "filename", key)  # noqa: B010 (Pillow's files have it, its class not)
        return pictures

    @property
    def truths(self) -> list[Image.Image]:
        """The pictures that perfect edits would give."""
        return [to_pil(x) for x in self.batch["truth"]]

    @property
    def sources(self) -> list[str]:
        """What the pictures show."""
        return list(self.batch["source"])

    @property
    def targets(self) -> list[str]:
        """What they shall show."""
        return list(self.batch["target"])

    def embed(self, prompts: Sequence[str]) -> Conditioning:
        """What the teacher is told of B prompts."""
        return self.teacher.embed(prompts)

    def measures(self, z: Tensor) -> dict[str, float]:
        """Means over the scenes of what latents (B, C, h, w) decode to.

        "sharpness_kept" is the sharpness of the edit over that of the source's reconstruction, so
        that what the autoencoder blurs is not data against an editor.
        """
        rows = self.evaluator(self.batch, self.teacher.decode(z))
        before = self.evaluator(self.batch, self.teacher.decode(self.z))
        kept = [row["sharpness"] / was["sharpness"] for row, was in zip(rows, before, strict=True)]
        columns: dict[str, list[float]] = {SHARPNESS_KEPT: kept}
        for name in measured_names()[:-1]:
            columns[name] = [row[name] for row in rows]
        return {name: _nan(mean(columns[name])) for name in measured_names()}


def held_out_scenes(
    teacher: Teacher,
    tasks: Task | TaskSet,
    n: int = 4,
    split: str = "test",
    seed: int = 0,
    judge: str | None = "pocket",
) -> EvalBatch:
    """Critters scenes that nothing was trained or tuned on, as the commands draw them.

    >>> from i2i_dds import Task, held_out_scenes, load_teacher
    >>> cat, lion = {"species": "cat"}, {"species": "lion"}
    >>> task = Task("cat2lion", replace={"cat": "lion"}, source=cat, target=lion)
    >>> scenes = held_out_scenes(load_teacher(), task, n=2)
    >>> len(scenes.images), scenes.targets[0]
    (2, 'a smiling white lion in a meadow')

    Args:
        teacher: Whose latents they become, at its native size.
        tasks: What is to be done to them.
        n: Scenes for each task.
        split: "test", or "val" for settings that are still to be chosen.
        seed: Of the scenes, and of the noise that studies draw for them.
        judge: Says if an edit succeeded: "pocket", a folder, or None for nobody.

    Raises:
        UserError: A task without an answer, or an argument that is not allowed.
    """
    task_set = TaskSet([tasks]) if isinstance(tasks, Task) else tasks
    evaluator = Evaluator(task_set, teacher, load_judge(judge))
    return build_eval_batch(evaluator, split, n, seed, scene_size(None, teacher))


@torch.no_grad()
def build_eval_batch(evaluator: Evaluator, split: Any, n: int, seed: int, size: int) -> EvalBatch:
    """The first n scenes of each of the evaluator's tasks."""
    data = SceneEdits(evaluator.tasks, split, n, seed, size)
    batch, teacher = collate([data[number] for number in range(len(data))]), evaluator.teacher
    z, z_truth = teacher.encode(batch["image"]), teacher.encode(batch["truth"])
    return EvalBatch(evaluator, batch, z, z_truth, seed)


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
