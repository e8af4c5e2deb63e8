"""Held-out metrics and pictures in the course of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import Dataset

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.distributed import gather
from i2i_dds.editing.interface import EditBatch, Editor, finish
from i2i_dds.errors import UserError
from i2i_dds.evaluation.grid import grid
from i2i_dds.evaluation.measure import EditRow, Evaluator
from i2i_dds.evaluation.metric import ranking_metrics
from i2i_dds.evaluation.photographs import Photographs
from i2i_dds.evaluation.picture_table import captions_of, columns_of, pictures, rows_of
from i2i_dds.evaluation.summary import Evaluation
from i2i_dds.metrics.judge import Judge
from i2i_dds.runs import write_image
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.interface import Teacher
from i2i_dds.training.media import log_pictures


class HeldOutMetrics(Callback):
    """Measures the edits of every validation and logs their means as val/...

    Args:
        judge: Says if an edit succeeded; None leaves success open.
        photographs: Measures pictures without a ground truth; None is the plain one.
    """

    def __init__(self, judge: Judge | None = None, photographs: Photographs | None = None) -> None:
        self.judge, self.photographs = judge, photographs or Photographs()
        self._evaluator: Evaluator | None = None
        self._rows: list[EditRow] = []
        self._nonfinite = 0

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        tasks, teacher = pl_module.student.tasks, pl_module.teacher
        self._evaluator = Evaluator(tasks, teacher, self.judge, photographs=self.photographs)
        self._rows, self._nonfinite = [], 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert self._evaluator is not None
        self._rows += self._evaluator(batch, outputs)
        self._nonfinite += int((~torch.isfinite(outputs)).sum())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts = gather(Evaluation(tuple(self._rows), self._nonfinite))
        metrics = Evaluation.merge(parts).metrics()
        on_bar = ranking_metrics()
        for name, value in _flat(metrics).items():
            shown = name in on_bar
            pl_module.log(f"val/{name}", value, prog_bar=shown, sync_dist=True, batch_size=1)


class PictureTable(Callback):
    """A table of source, student, zero-shot edit and truth, drawn at every validation.

    The zero-shot edits are made once, at the first. Rank 0 draws; it writes
    `<folder>/step-000200.png` and hands the pictures to every logger that takes some.

    Args:
        folder: Where to write.
        zero_shot: The editor to compare with; None leaves its column out.
        n: Rows, at least 1: held-out pictures, spread over the tasks.
        seed: Of the zero-shot edits' noise.
    """

    def __init__(
        self, folder: str | Path, zero_shot: Editor | None = None, n: int = 6, seed: int = 0
    ) -> None:
        if n < 1:
            raise UserError(f"n: {n} is not allowed; give 1 or more")
        self.folder, self.zero_shot, self.n, self.seed = Path(folder), zero_shot, n, seed
        self._batch: dict[str, Any] = {}
        self._columns: dict[str, list[Image.Image]] = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        # Here, and not at the epoch's end, the weights are certain to be the averaged ones.
        if batch_idx == 0 and trainer.is_global_zero:
            data: Any = getattr(trainer, "datamodule", None)
            self.prepare(data.dataset("val"), pl_module.teacher)
            step = trainer.global_step
            columns = self.columns(pl_module.student, pl_module.teacher)
            write_image(self.folder / f"step-{step:06d}.png", grid(columns, self.captions))
            log_pictures(trainer.loggers, columns, self.captions, step)

    def prepare(self, dataset: Dataset, teacher: Teacher) -> None:
        """Chooses the rows and makes the zero-shot edits, once for the same pictures."""
        batch = rows_of(dataset, self.n)
        if self._batch.get("key") != batch["key"]:
            self._batch = batch
            self._columns = {"zero-shot": self._zero_shot(teacher)} if self.zero_shot else {}

    def columns(self, student: EditUNet, teacher: Teacher) -> dict[str, list[Image.Image]]:
        """The table's columns with a student's edits."""
        return columns_of(self._batch, student, teacher, student.tasks, self._columns)

    @property
    def captions(self) -> list[str]:
        """One line for each row."""
        return captions_of(self._batch)

    @torch.no_grad()
    def _zero_shot(self, teacher: Teacher) -> list[Image.Image]:
        assert self.zero_shot is not None
        batch = EditBatch(
            teacher.encode(self._batch["image"].to(teacher.device)),
            teacher.embed(self._batch["source"]),
            teacher.embed(self._batch["target"]),
            item_generators(self.seed, self._batch["key"]),
        )
        return pictures(teacher.decode(finish(self.zero_shot(teacher, batch)).z))


def _flat(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among `metrics`; those of single tasks as success/cat2lion."""
    flat = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    for task, values in metrics.get("tasks", {}).items():
        flat |= {f"{name}/{task}": v for name, v in values.items() if isinstance(v, int | float)}
    return {name: float(value) for name, value in flat.items()}
