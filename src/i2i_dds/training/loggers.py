"""Loggers: Weights & Biases without an account, and MLflow without a server."""

from __future__ import annotations

import netrc
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, MLFlowLogger, WandbLogger

from i2i_dds.distributed import launched_rank
from i2i_dds.errors import UserError
from i2i_dds.progress import notify

WANDB_HOST = "api.wandb.ai"
WAIT = 10
"""Seconds to wait for W&B's server at the start."""

LOCAL_WAIT = 60
"""Seconds to wait at the start for W&B's own process, which a busy machine delays."""

FINISH_WAIT = 60
"""Seconds to wait at the end for what W&B has not got yet; it stays on disk for `wandb sync`.

`WANDB_FINISH_TIMEOUT`, where it is set, decides.
"""


class LastingWandbLogger(WandbLogger):
    """A W&B logger that a training outlives: W&B's own process may end, or fail, at any moment.

    The first time that W&B does not take what it is handed this is said, and from then on it is
    handed nothing.

    Args:
        *args: For `WandbLogger`, as the rest is.
        sends_model: Whether a trained student is sent as an artifact.
    """

    is_broken = False

    def __init__(self, *args: Any, sends_model: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wandb_init.pop("anonymous", None)  # W&B warns of it, and Lightning always gives it
        self.sends_model = sends_model

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        self.attempt(lambda: WandbLogger.log_hyperparams(self, *args, **kwargs))

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        self.attempt(lambda: WandbLogger.log_metrics(self, *args, **kwargs))

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


def wandb_logger(
    save_dir: str | Path, project: str = "i2i_dds", log_model: bool = False, **settings: Any
) -> WandbLogger:
    """A W&B logger that needs no account and no network: offline, for `wandb sync`, without them.

    `WANDB_MODE`, where it is set to offline or disabled, decides. W&B itself looks neither at the
    command line nor at git: what a run's config has of them has been redacted.

    Args:
        save_dir: Where the run's files go.
        project: Its name at W&B.
        log_model: Whether the trained student is sent as an artifact, where W&B is online.
        **settings: For `WandbLogger`.
    """
    Path(save_dir).mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
    options = {"save_dir": save_dir, "project": project, **settings}
    options["tags"] = [str(tag) for tag in options.get("tags") or ()]
    options["sends_model"] = log_model
    if mode == "online" and launched_rank() == 0:
        reason = "does not answer" if not _answers(_host()) else None
        if reason is None:
            online = LastingWandbLogger(mode=mode, settings=_settings(WAIT), **options)
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
    is_offline = mode in ("offline", "dryrun")
    local = _settings(LOCAL_WAIT)
    return LastingWandbLogger(offline=is_offline, mode=mode, settings=local, **options)


def _settings(wait: float) -> Any:
    """Waits that end, few lines, and nothing of the command line, where secrets may stand."""
    import wandb

    return wandb.Settings(
        init_timeout=wait,
        finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT") or FINISH_WAIT),
        x_disable_meta=True,
        disable_git=True,
        quiet=True,  # its closing summary would bury the numbers
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


def mlflow_logger(
    save_dir: str | Path, experiment_name: str = "i2i_dds", **settings: Any
) -> MLFlowLogger:
    """An MLflow logger that needs no server: into the run's folder, unless one is named.

    `MLFLOW_TRACKING_URI`, where it is set, says where to write.

    Args:
        save_dir: Where the run's files go.
        experiment_name: At MLflow.
        **settings: For `MLFlowLogger`.

    Raises:
        UserError: MLflow is not installed.
    """
    if find_spec("mlflow") is None:
        raise UserError(
            "logger.mlflow: MLflow is not installed; pip install 'i2i-dds[mlflow]', "
            "or leave logger=mlflow out"
        )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Without it MLflow 3 wants a database, which its small package has not.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    where = os.environ.get("MLFLOW_TRACKING_URI") or (Path(save_dir).absolute() / "mlflow").as_uri()
    given = settings.pop("tags", None) or {}
    texts = {name: _text(value) for name, value in given.items()}
    tags = {name: text for name, text in texts.items() if text}
    return MLFlowLogger(experiment_name, tracking_uri=where, tags=tags, **settings)


def _text(value: Any) -> str:
    """A tag of MLflow, which takes no lists."""
    return value if isinstance(value, str) else ", ".join(map(str, value))


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
