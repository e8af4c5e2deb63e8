"""The progress bar, on standard error: standard output ends with the run folder alone."""

from __future__ import annotations

import logging
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar as LightningProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from i2i_dds.evaluation.metric import ranking_metrics
from i2i_dds.evaluation.photographs import PHOTO_METRICS

log = logging.getLogger(__name__)

BESIDE = ("train/loss", "train/guidance", "train/images_per_second")


class ProgressBar(LightningProgressBar):
    """One bar over all optimizer steps, and one line in the log for each validation."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Progress | None = None
        self._enabled = True

    def disable(self) -> None:
        """Shows no bar, as on processes other than the first."""
        self._enabled = False

    def enable(self) -> None:
        """Shows the bar."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._enabled:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[numbers]}"),
                console=Console(stderr=True),
            )
            self._bar.add_task("", total=trainer.max_steps, numbers="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is not None:
            found = _numbers(trainer, {name.rpartition("/")[2]: name for name in BESIDE})
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=trainer.global_step, numbers=found)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._enabled:
            names = [*ranking_metrics(), *PHOTO_METRICS]
            found = _numbers(trainer, {name: f"val/{name}" for name in names})
            if found:
                log.info("step %d: %s", trainer.global_step, found)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _numbers(trainer: Trainer, names: dict[str, str]) -> str:
    """Those of the metrics called `names` (word -> metric) that are known, as words."""
    known = trainer.callback_metrics
    return "  ".join(
        f"{word} {float(known[name]):.3g}" for word, name in names.items() if name in known
    )
