"""What one edit is worth: the judge's word, and its distance from the exact counterfactual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from i2i_dds.errors import UserError
from i2i_dds.evaluation.metric import Measured, Metric, Networks, edit_metrics, measure
from i2i_dds.evaluation.photographs import Photographs
from i2i_dds.metrics.judge import Judge
from i2i_dds.pocket import directory
from i2i_dds.reading import expanded
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.families import POCKETS
from i2i_dds.teacher.interface import Teacher

_NAN = float("nan")


@dataclass(frozen=True)
class EditRow:
    """The numbers of one edited picture.

    Attributes:
        key: The item's.
        task: The task's name.
        values: Metric -> value, NaN where there is nothing to measure with.
        seconds: Spent on this picture.
    """

    key: str
    task: str
    values: Mapping[str, float]
    seconds: float = _NAN

    def __getitem__(self, name: str) -> float:
        """The value of a metric."""
        return self.values[name]


@dataclass(frozen=True)
class Evaluator:
    """Measures edits.

    Attributes:
        tasks: The tasks that a batch's numbers stand for.
        teacher: For the source's reconstruction by its autoencoder.
        judge: Says what a picture shows; None leaves success open.
        metrics: In the order of files; None is all of
            :data:`i2i_dds.evaluation.metric.METRICS`.
        photographs: What pictures without a ground truth are measured by besides; None is nothing.
    """

    tasks: TaskSet
    teacher: Teacher
    judge: Judge | None = None
    metrics: Sequence[Metric] | None = None
    photographs: Photographs | None = None

    @torch.no_grad()
    def __call__(
        self, batch: Mapping[str, Any], edited: Tensor, seconds: float = _NAN
    ) -> list[EditRow]:
        """One row an item.

        Args:
            batch: See :meth:`measured`; and "key".
            edited: The edits of its pictures, (B, 3, H, W) in [-1, 1].
            seconds: Spent on each.
        """
        measured = self.measured(batch, edited)
        metrics = [*edit_metrics()] if self.metrics is None else [*self.metrics]
        if self.photographs is not None and "truth" not in batch:
            metrics += self.photographs.metrics
        rows = zip(batch["key"], measured.tasks, measure(metrics, measured), strict=True)
        return [EditRow(key, task.name, values, seconds) for key, task, values in rows]

    def measured(
        self, batch: Mapping[str, Any], edited: Tensor, networks: Networks | None = None
    ) -> Measured:
        """A batch and its edits, as metrics take them.

        Args:
            batch: A held-out batch of `data.datamodule.EditDataModule`: "task", "image" and, of
                Critters, "truth", "mask", "source" and "target".
            edited: The edits of its pictures, (B, 3, H, W) in [-1, 1].
            networks: Those that metrics need.
        """
        known, mask = "truth" in batch, batch.get("mask")
        if not known and self.photographs is not None:
            networks = networks or self.photographs.networks
            mask = self.photographs.masks(self.teacher, batch) if mask is None else mask
        return Measured(
            x_src=batch["image"].cpu(),
            # A pixel that is no number counts as it is shown, black, not as if it were not there.
            x=edited.detach().cpu().nan_to_num(-1.0),
            tasks=[self.tasks[int(number)] for number in batch["task"]],
            truth=batch["truth"].cpu() if known else None,
            mask=None if mask is None else mask.cpu(),
            prompts_src=batch.get("source", ()),
            prompts=batch.get("target", ()),
            teacher=self.teacher,
            judge=self.judge,
            networks=networks or Networks(),
        )


def load_judge(path: str | Path | None) -> Judge | None:
    """The judge at a path.

    Args:
        path: "pocket" for the one that ships with the package, "pocket_flow" for its larger
            sibling at 128 px, a folder, or None for none.

    Raises:
        UserError: Nothing there that loads.
    """
    if path is None:
        return None
    pocket = POCKETS.get(str(path))
    folder = expanded(path) if pocket is None else (directory() / pocket).parent / "judge"
    try:
        if not folder.is_dir():  # else the name would be looked up on the hub
            raise FileNotFoundError(f"{folder} is no folder")
        return Judge.load(folder)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"judge: '{folder}' holds no judge; "
            "give 'pocket', 'pocket_flow', a folder that scripts/pretrain.py stage=judge made, or "
            "null for none"
        ) from error
