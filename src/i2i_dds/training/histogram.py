"""Which timesteps a training has drawn."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from i2i_dds.training.media import log_histogram


class TimestepHistogram(Callback):
    """Hands loggers a histogram of the timesteps drawn since the last validation, by rank 0.

    Args:
        bins: How many, at least 1, over all timesteps of the teacher.
    """

    def __init__(self, bins: int = 50) -> None:
        self.bins = bins
        self._drawn: list[int] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._drawn += pl_module.drawn.tolist()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._drawn and trainer.is_global_zero:
            teacher: Any = pl_module.teacher
            steps = len(teacher.process)
            edges = [round(i * steps / self.bins) for i in range(self.bins + 1)]
            step = trainer.global_step
            log_histogram(trainer.loggers, "train/timesteps", self._drawn, edges, step)
        self._drawn = []
