"""Held-out scenes as studies use them: pictures, latents, prompts and their measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.evaluation.measure import Evaluator, mean
from i2i_dds.teacher.conditioning import Conditioning

MEASURES = ("success", "psnr_truth", "psnr_truth_gain", "psnr_backdrop", "sharpness_kept")


@dataclass(frozen=True)
class Held:
    """B scenes of one split and seed.

    Attributes:
        evaluator: Measures; its teacher is the one that is studied.
        batch: Collated, of `data.edits.SceneEdits`.
        z: Latents of the pictures, (B, C, h, w).
        z_truth: Latents of the exact answers, (B, C, h, w).
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
        that what the autoencoder blurs is not held against an editor.
        """
        rows = self.evaluator(self.batch, self.teacher.decode(z))
        before = self.evaluator(self.batch, self.teacher.decode(self.z))
        gains = [row.psnr_truth - row.psnr_truth_source for row in rows]
        kept = [row.sharpness / was.sharpness for row, was in zip(rows, before, strict=True)]
        columns = {
            "success": [row.success for row in rows],
            "psnr_truth": [row.psnr_truth for row in rows],
            "psnr_truth_gain": gains,
            "psnr_backdrop": [row.psnr_backdrop for row in rows],
            "sharpness_kept": kept,
        }
        return {name: _nan(mean(values)) for name, values in columns.items()}


@torch.no_grad()
def held(evaluator: Evaluator, split: Any, n: int, seed: int, size: int) -> Held:
    """The first n scenes of each of the evaluator's tasks."""
    data = SceneEdits(evaluator.tasks, split, n, seed, size)
    batch, teacher = collate([data[number] for number in range(len(data))]), evaluator.teacher
    z, z_truth = teacher.encode(batch["image"]), teacher.encode(batch["truth"])
    return Held(evaluator, batch, z, z_truth, seed)


def over_seeds(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """One line for each value of the keys: means over seeds, and sample deviations as "_spread"."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    lines = []
    for values, group in groups.items():
        line: dict[str, Any] = dict(zip(keys, values, strict=True)) | {"seeds": len(group)}
        for name in metrics:
            found = torch.tensor([row[name] for row in group], dtype=torch.float64)
            known = found[found.isfinite()]
            line[name] = known.mean().item() if len(known) else float("nan")
            line[f"{name}_spread"] = known.std().item() if len(known) > 1 else float("nan")
        lines.append(line)
    return lines


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
