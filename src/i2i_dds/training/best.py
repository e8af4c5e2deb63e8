"""The best student of a training, by what its validations measure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn

from i2i_dds.checks import choice, require
from i2i_dds.errors import UserError
from i2i_dds.student.load import read_checkpoint

BEST = "best.ckpt"


class BestStudent(Checkpoint):
    """Keeps ``<folder>/best.ckpt``, of the validation with the best metric so far.

    The weights in it are those that were measured, averaged ones where there is an average. A
    training that goes on from a checkpoint goes on with the best of the one before, too.

    Args:
        folder: Where to.
        monitor: What a validation logs, such as ``val/psnr_truth_gain``.
        mode: "max", or "min" where less is better.

    Attributes:
        path: The best one's file; None before the first validation.
        value: Its metric.
        step: Its optimizer step.
    """

    def __init__(
        self, folder: str | Path, monitor: str = "val/psnr_truth_gain", mode: str = "max"
    ) -> None:
        require("mode", mode, choice("max", "min"))
        self.folder, self.monitor, self.mode = Path(folder), monitor, mode
        self.path: Path | None = None
        self.value, self.step = math.nan, -1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves, on every process, if this validation is better than all before.

        Raises:
            UserError: It did not measure `monitor`.
        """
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise UserError(f"monitor: no validation measures {self.monitor!r}; one of {known}")
        value = float(trainer.callback_metrics[self.monitor])
        if self._is_better(value):
            self.path, self.value, self.step = self.folder / BEST, value, trainer.global_step
            trainer.save_checkpoint(self.path, weights_only=False)

    def state_dict(self) -> dict[str, Any]:
        path = None if self.path is None else str(self.path.absolute())
        return {"path": path, "monitor": self.monitor, "value": self.value, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Finds the best again, whose own file knows more than a checkpoint written before it.

        A metric that changed, or a file that is gone, leaves no best.
        """
        path = state_dict["path"]
        if path is None or state_dict["monitor"] != self.monitor or not Path(path).is_file():
            return
        own = read_checkpoint(path, "ckpt_path")["callbacks"][self.state_key]
        self.path, self.value, self.step = Path(path), own["value"], own["step"]

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        sign = 1 if self.mode == "max" else -1
        return self.path is None or sign * value > sign * self.value
