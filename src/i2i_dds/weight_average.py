"""A moving average of the trained weights, where they are."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from i2i_dds.checks import integer, number, require


class WeightAverage(WeightAveraging):
    """``average <- decay average + (1 - decay) weights`` after each optimizer step.

    Validations, checkpoints and the end of training have the average in the weights' place.

    Lightning makes the average before it moves the network to its device, and leaves it on the CPU,
    where each step would copy all weights. Here it follows the network, is updated in one call for
    all tensors, and only the number of its updates stays on the CPU, which asks for it each step.

    Args:
        decay: At least 0 and below 1.
        start: Optimizer steps that leave the average alone; the next one's weights are its first.
    """

    def __init__(self, decay: float = 0.998, start: int = 0) -> None:
        require("decay", decay, number(min=0, below=1))
        require("start", start, integer(min=0))
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.start = start

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After each optimizer step (from 0 on) that is not too early."""
        return step_idx is not None and step_idx >= self.start

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Follows the network, which is on its device now."""
        assert self._average_model is not None
        self._average_model.module.to(pl_module.device)  # type: ignore[arg-type]
