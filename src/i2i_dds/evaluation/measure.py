"""What one edit is worth: the judge's word, and its distance from the exact counterfactual."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i_dds.errors import UserError
from i2i_dds.metrics.image import psnr, sharpness
from i2i_dds.metrics.judge import Judge
from i2i_dds.pocket import directory
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.interface import Teacher

_NAN = float("nan")


@dataclass(frozen=True)
class Row:
    """The numbers of one edited picture; NaN where there is nothing to measure with.

    Attributes:
        key: The item's.
        task: The task's name.
        success: 1 if the judge finds every attribute of `task.target` at its target value, else 0.
        psnr_truth: The edit against the render of the counterfactual, dB.
        psnr_truth_source: The unedited source picture against it, dB: what doing nothing scores.
        psnr_truth_source_recon: The source's reconstruction against it, dB.
        psnr_backdrop: The edit against the source's reconstruction, over the pixels that neither
            the source's nor the counterfactual's change may touch (see `data.edits.edit_mask`), dB.
        sharpness: Of the edit, see `metrics.image.sharpness`.
        sharpness_source: Of the source picture.
        seconds: Spent on this picture.
    """

    key: str
    task: str
    success: float
    psnr_truth: float
    psnr_truth_source: float
    psnr_truth_source_recon: float
    psnr_backdrop: float
    sharpness: float
    sharpness_source: float
    seconds: float = _NAN


@dataclass(frozen=True)
class Evaluator:
    """Measures edits.

    Attributes:
        tasks: The tasks that a batch's numbers stand for.
        teacher: For the source's reconstruction by its autoencoder.
        judge: Says what a picture shows; None leaves success open.
    """

    tasks: TaskSet
    teacher: Teacher
    judge: Judge | None = None

    @torch.no_grad()
    def __call__(
        self, batch: Mapping[str, Any], edited: Tensor, seconds: float = _NAN
    ) -> list[Row]:
        """One row an item.

        Args:
            batch: A held-out batch of `data.datamodule.EditDataModule`: "key", "task", "image"
                and, of Critters, "truth" and "mask".
            edited: The edits of its pictures, (B, 3, H, W) in [-1, 1].
            seconds: Spent on each.
        """
        # A pixel that is no number counts as it is shown, black, and not as if it were not there.
        x, edited = batch["image"].cpu(), edited.detach().cpu().nan_to_num(-1.0)
        recon = self.teacher.decode(self.teacher.encode(x)).cpu()
        unknown = torch.full((len(x),), _NAN)
        gains, backdrop = (unknown,) * 3, unknown
        if "truth" in batch:
            truth = batch["truth"].cpu()
            gains = tuple(psnr(picture, truth) for picture in (edited, x, recon))
            backdrop = psnr(edited, recon, 1 - batch["mask"].cpu())
        tasks = [self.tasks[int(number)] for number in batch["task"]]
        columns = [*gains, backdrop, sharpness(edited), sharpness(x)]
        numbers = zip(*(column.tolist() for column in columns), strict=True)
        judged = zip(batch["key"], tasks, self._success(edited, tasks), numbers, strict=True)
        names = ("psnr_truth", "psnr_truth_source", "psnr_truth_source_recon", "psnr_backdrop")
        names += ("sharpness", "sharpness_source")
        return [
            Row(key, task.name, won, **dict(zip(names, values, strict=True)), seconds=seconds)
            for key, task, won, values in judged
        ]

    def _success(self, edited: Tensor, tasks: Sequence[Task]) -> list[float]:
        if self.judge is None:
            return [_NAN] * len(tasks)
        found = self.judge.predict(edited)
        return [_succeeds(found, i, task) for i, task in enumerate(tasks)]


def load_judge(path: str | Path | None) -> Judge | None:
    """The judge at a path.

    Args:
        path: "pocket" for the one that ships with the package, a folder, or None for none.

    Raises:
        UserError: Nothing there that loads.
    """
    if path is None:
        return None
    folder = directory() / "judge" if path == "pocket" else Path(path).expanduser()
    try:
        if not folder.is_dir():  # else the name would be looked up on the hub
            raise FileNotFoundError(f"{folder} is no folder")
        return Judge.load(folder)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"judge: '{folder}' holds no judge; "
            "give 'pocket', a folder that scripts/pretrain.py stage=judge made, or null for none"
        ) from error


def _succeeds(found: Mapping[str, Sequence[str]], item: int, task: Task) -> float:
    if not task.target:
        return _NAN
    for name in task.target:
        if name not in found:
            raise UserError(
                f"task.tasks.{task.name}.target.{name}: the judge does not look at it; "
                f"it knows {', '.join(found)}"
            )
    return float(all(found[name][item] == value for name, value in task.target.items()))


def mean(values: Sequence[float]) -> float | None:
    """The mean of the finite values; None if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else None
