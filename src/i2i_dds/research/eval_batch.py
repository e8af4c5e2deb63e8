"""Held-out scenes as studies use them: pictures, latents, prompts and their measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.evaluation.aggregate import aggregate, mean
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.evaluation.metric import ranking_metrics
from i2i_dds.teacher.conditioning import Conditioning

SHARPNESS_KEPT = "sharpness_kept"
"""The sharpness of an edit over that of the source's reconstruction."""


def measured_names() -> tuple[str, ...]:
    """What :meth:`Held.measures` gives: metrics of every edit, with the sharpness relative."""
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


@torch.no_grad()
def build_eval_batch(evaluator: Evaluator, split: Any, n: int, seed: int, size: int) -> EvalBatch:
    """The first n scenes of each of the evaluator's tasks."""
    data = SceneEdits(evaluator.tasks, split, n, seed, size)
    batch, teacher = collate([data[number] for number in range(len(data))]), evaluator.teacher
    z, z_truth = teacher.encode(batch["image"]), teacher.encode(batch["truth"])
    return EvalBatch(evaluator, batch, z, z_truth, seed)


def over_seeds(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """One line for each value of the keys: means over seeds, and sample deviations as "_spread"."""
    lines = []
    for group in aggregate(rows, keys, metrics, seed=None):
        line: dict[str, Any] = dict(zip(keys, group.key, strict=True)) | {"seeds": group.n}
        for name in metrics:
            line |= {name: group.means[name], f"{name}_spread": group.spreads[name]}
        lines.append(line)
    return lines


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
