"""How many pictures a second are trained on."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs train/images_per_second of all processes together; validation does not count."""

    def __init__(self) -> None:
        self.images, self.seconds = 0, 0.0
        self._last: float | None = None
        self._since = (0, 0.0)

    @property
    def images_per_second(self) -> float | None:
        """Over all of this session's training; None before its second step."""
        return self.images / self.seconds if self.seconds > 0 else None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = perf_counter()
        # The first batch, which warms up, has nothing to be measured from.
        if self._last is not None:
            self.images += len(batch["key"]) * trainer.world_size
            self.seconds += now - self._last
            if trainer.global_step % max(1, trainer.log_every_n_steps) == 0:  # type: ignore
                images, seconds = self._since
                recent = (self.images - images) / max(1e-9, self.seconds - seconds)
                pl_module.log("train/images_per_second", recent, prog_bar=True, batch_size=1)
                self._since = (self.images, self.seconds)
        self._last = now

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last = None
