"""Loggers: Weights & Biases without an account, and pictures for whoever shows some."""

from __future__ import annotations

import netrc
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from i2i_dds.distributed import launched_rank
from i2i_dds.progress import notify

WANDB_HOST = "api.wandb.ai"
WAIT = 10
"""Seconds to wait for W&B at the start."""

FINISH_WAIT = 60
"""Seconds to wait at the end for what W&B has not got yet; it stays on disk for `wandb sync`."""


def wandb_logger(save_dir: str | Path, project: str = "i2i_dds", **settings: Any) -> WandbLogger:
    """A W&B logger that needs no account and no network: offline, for `wandb sync`, without them.

    `WANDB_MODE`, where it is set to offline or disabled, decides. The command line is not sent.

    Args:
        save_dir: Where the run's files go.
        project: Its name at W&B.
        **settings: For `WandbLogger`.
    """
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
    options = {"save_dir": save_dir, "project": project, **settings, "settings": _settings()}
    if mode == "online" and launched_rank() == 0:
        reason = "does not answer" if not _answers(_host()) else None
        if reason is None:
            online = WandbLogger(mode=mode, **options)
            try:
                online.experiment  # noqa: B018  (begins the run)
                return online
            except Exception as error:  # whatever it is, the training shall not wait for it
                reason = " ".join(f"refuses ({type(error).__name__}: {error})".split())
        notify(
            f"W&B: {_host()} {reason}; going on offline, "
            f"for wandb sync {save_dir}/wandb/offline-run-*"
        )
        mode = "offline"
    return WandbLogger(offline=mode in ("offline", "dryrun"), mode=mode, **options)


def _settings() -> Any:
    """Waits that end, and nothing of the command line, where secrets may stand."""
    import wandb

    return wandb.Settings(
        init_timeout=WAIT, finish_timeout=FINISH_WAIT, x_disable_meta=True, disable_git=True
    )


def _host() -> str:
    return os.environ.get("WANDB_BASE_URL") or f"https://{WANDB_HOST}"


def _answers(url: str) -> bool:
    """Whether anything answers there within the wait, be it a refusal."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=WAIT):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except (OSError, ValueError):
            pass

    asking = threading.Thread(target=ask, daemon=True)  # a name may be looked up for longer
    asking.start()
    asking.join(WAIT)
    return answered.is_set()


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


def has_key() -> bool:
    """Whether W&B finds a key, in the environment or in ~/.netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(WANDB_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False
