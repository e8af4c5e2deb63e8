"""Loggers: Weights & Biases without an account, and pictures for whoever shows some."""

from __future__ import annotations

import netrc
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
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
"""Seconds to wait at the end for what W&B has not got yet; it stays on disk for `wandb sync`.

`WANDB_FINISH_TIMEOUT`, where it is set, decides.
"""


class LastingWandbLogger(WandbLogger):
    """A W&B logger that a training outlives: W&B's own process may end, or fail, at any moment.

    The first time that W&B does not take what it is handed this is said, and from then on it is
    handed nothing.
    """

    is_broken = False

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        self.attempt(lambda: WandbLogger.log_hyperparams(self, *args, **kwargs))

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        self.attempt(lambda: WandbLogger.log_metrics(self, *args, **kwargs))

    def log_table(self, *args: Any, **kwargs: Any) -> None:
        self.attempt(lambda: WandbLogger.log_table(self, *args, **kwargs))

    def log_image(self, *args: Any, **kwargs: Any) -> None:
        self.attempt(lambda: WandbLogger.log_image(self, *args, **kwargs))

    def attempt(self, action: Callable[[], Any]) -> None:
        """Does what needs W&B, unless it failed before."""
        if self.is_broken:
            return
        try:
            action()
        except Exception as error:  # whatever it is, the training shall not end by it
            self.is_broken = True
            notify(
                f"W&B: failed ({type(error).__name__}: {error}); going on without it, "
                f"what it got is in {self.save_dir}/wandb"
            )


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
            online = LastingWandbLogger(mode=mode, **options)
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
    return LastingWandbLogger(offline=mode in ("offline", "dryrun"), mode=mode, **options)


def _settings() -> Any:
    """Waits that end, and nothing of the command line, where secrets may stand."""
    import wandb

    return wandb.Settings(
        init_timeout=WAIT,
        finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT") or FINISH_WAIT),
        x_disable_meta=True,
        disable_git=True,
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
    """Closes W&B's run, so that the next job of a sweep begins its own; a failure is said."""
    import wandb

    for logger in loggers:
        if isinstance(logger, LastingWandbLogger):
            logger.attempt(wandb.finish)
            if logger.is_broken:
                with suppress(Exception):  # its process is gone; a later run needs a new one
                    wandb.teardown()


def has_key() -> bool:
    """Whether W&B finds a key, in the environment or in ~/.netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(WANDB_HOST) is not None
    except (OSError, netrc.NetrcParseError):
        return False
