"""Loggers: Weights & Biases without an account, and pictures for whoever shows some."""

from __future__ import annotations

import netrc
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

WANDB_HOST = "api.wandb.ai"


def wandb_logger(save_dir: str | Path, project: str = "i2i_dds", **settings: Any) -> WandbLogger:
    """A W&B logger that needs no account: offline, for `wandb sync`, unless there is a key.

    `WANDB_MODE`, where it is set, decides.

    Args:
        save_dir: Where the run's files go.
        project: Its name at W&B.
        **settings: For `WandbLogger`.
    """
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
    offline = mode in ("offline", "dryrun")
    return WandbLogger(save_dir=save_dir, project=project, offline=offline, mode=mode, **settings)


def log_pictures(
    loggers: Iterable[Logger],
    columns: Mapping[str, Sequence[Image.Image]],
    captions: Sequence[str],
    step: int,
) -> None:
    """Hands a table of pictures to TensorBoard (one strip a row) and W&B (a table).

    Args:
        loggers: Those of the trainer; others are passed over.
        columns: Header -> one picture a row.
        captions: One a row.
        step: Optimizer step.
    """
    rows = list(zip(*columns.values(), strict=True))
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            for number, row in enumerate(rows):
                strip = np.concatenate([np.asarray(picture) for picture in row], axis=1)
                logger.experiment.add_image(f"held_out/{number}", strip, step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            import wandb

            cells = [
                [caption, *map(wandb.Image, row)]
                for caption, row in zip(captions, rows, strict=True)
            ]
            logger.log_table("held_out", ["edit", *columns], cells, step=step)


def finish_loggers(loggers: Iterable[Logger]) -> None:
    """Closes W&B's run, so that the next job of a sweep begins its own."""
    if any(isinstance(logger, WandbLogger) for logger in loggers):
        import wandb

        wandb.finish()


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(WANDB_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False
