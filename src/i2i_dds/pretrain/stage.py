"""What the pretraining stages share: optimizer, schedule, and a resumable fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, IterableDataset

from i2i_dds.checkpoint_io import CheckpointFiles
from i2i_dds.pretrain.corpus import batches

Fetch = Callable[[Tensor, int], Any]

_SAVED_EVERY = timedelta(minutes=3)
"""By the clock and not by steps, so that a kill costs little on a slow machine too."""


class Stage(pl.LightningModule):
    """AdamW with a linear warm-up and a cosine decay; `loss` returns named terms to be added.

    Args:
        steps: length of the schedule.
        lr: peak learning rate.
        warmup: steps of the linear rise.
        weight_decay: AdamW's.
    """

    def __init__(
        self, steps: int, lr: float, warmup: int = 100, weight_decay: float = 0.01
    ) -> None:
        super().__init__()
        self.steps, self.lr, self.warmup, self.weight_decay = steps, lr, warmup, weight_decay

    def loss(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Named terms of the loss, scalars; randomness comes from `generator`."""
        raise TypeError(f"{type(self).__name__} defines no loss")

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Adds the terms; the generator depends on the step alone, so a resumed run repeats."""
        generator = torch.Generator().manual_seed(0x5EED + self.global_step)
        with _attention(self.device):
            terms = self.loss(batch, generator)
        total = torch.stack(list(terms.values())).sum()
        self.log_dict({name: term.detach() for name, term in terms.items()}, prog_bar=True)
        return total

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.parameters(),
            self.lr,
            betas=(0.9, 0.99),
            weight_decay=self.weight_decay,
            fused=True,  # half of the time a step of 11 M parameters takes on a CPU
        )

        def factor(step: int) -> float:
            rise = min(1.0, (step + 1) / self.warmup)
            progress = min(1.0, step / self.steps)
            return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """By norm. Lightning refuses fused optimizers, for loss scaling, which is not used."""
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val, foreach=True)


def _attention(device: torch.device) -> AbstractContextManager[Any]:
    """Plain attention in half precision on a CPU, where the fused one's backward pass is slow."""
    if device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()


class _Stream(IterableDataset):
    """Batches from number `start` on; `fetch(index, step)` makes each."""

    def __init__(self, n: int, batch_size: int, start: int, fetch: Fetch) -> None:
        self.n, self.batch_size, self.start, self.fetch = n, batch_size, start, fetch

    def __iter__(self) -> Any:
        for k, index in enumerate(batches(self.n, self.batch_size, seed=0, start=self.start)):
            yield self.fetch(index, self.start + k)


def fit(
    stage: Stage,
    n: int,
    batch_size: int,
    fetch: Fetch,
    folder: Path,
    callbacks: Sequence[pl.Callback] = (),
    precision: Any = "32-true",
) -> None:
    """Trains a stage for its number of steps, resuming from `folder` if it was stopped there.

    Args:
        stage: what is trained, in place.
        n: size of the training set.
        batch_size: rows a step.
        fetch: from indices (batch_size,) and the step's number to a batch.
        folder: holds `last.ckpt` and the csv log.
        callbacks: added to the checkpoint's and the progress bar's.
        precision: Lightning's.
    """
    last = folder / "last.ckpt"
    start = 0
    if last.exists():
        start = int(torch.load(last, map_location="cpu", weights_only=True)["global_step"])
    if start >= stage.steps:
        stage.load_state_dict(torch.load(last, weights_only=True)["state_dict"])
        return
    trainer = pl.Trainer(
        max_steps=stage.steps,
        precision=precision,
        accelerator="auto",
        devices=1,
        plugins=[CheckpointFiles()],
        logger=CSVLogger(str(folder), name="log", flush_logs_every_n_steps=50),
        callbacks=[
            ModelCheckpoint(folder, filename="last", train_time_interval=_SAVED_EVERY,
                            save_top_k=1, enable_version_counter=False),
            RichProgressBar(refresh_rate=20),
            *callbacks,
        ],
        log_every_n_steps=25,
        gradient_clip_val=1.0,
        enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader(
        _Stream(n, batch_size, start, fetch), batch_size=None, generator=torch.Generator()
    )
    trainer.fit(stage, loader, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    trainer.save_checkpoint(last)
