import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from i2i_dds.errors import UserError
from i2i_dds.training import loggers
from i2i_dds.training.media import log_pictures


def test_wandb_needs_no_account(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(loggers, "has_key", lambda: False)
    assert loggers.wandb_logger(tmp_path)._offline
    monkeypatch.setattr(loggers, "has_key", lambda: True)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert loggers.wandb_logger(tmp_path)._offline


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("NO_PROXY", "*")
    yield tmp_path
    loggers.finish_loggers([loggers.LastingWandbLogger()])


def goes_on_offline(folder: Path) -> float:
    """Seconds it took to begin."""
    began = time.monotonic()
    logger = loggers.wandb_logger(folder, name="a")
    logger.log_metrics({"loss": 1.0}, 1)
    took = time.monotonic() - began
    loggers.finish_loggers([logger])
    assert len(list((folder / "wandb").glob("offline-run-*/run-*.wandb"))) == 1
    return took


def test_wandb_whose_port_is_closed_is_not_waited_for(online, monkeypatch, capsys) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("WANDB_BASE_URL", url)
    assert goes_on_offline(online) < 8
    err = capsys.readouterr().err
    assert f"W&B: {url} does not answer; going on offline, for wandb sync" in err


def test_wandb_that_is_silent_is_waited_for_no_longer_than_said(online, monkeypatch) -> None:
    monkeypatch.setattr(loggers, "WAIT", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes calls, and says nothing
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert 1 <= goes_on_offline(online) < 8


def test_wandb_that_refuses_is_not_insisted_on(online, monkeypatch, capsys) -> None:
    class Refused:
        def __init__(self, *_: object, offline: bool = False, **settings: Any) -> None:
            self.offline = offline

        @property
        def experiment(self) -> None:
            raise PermissionError("no such key")

    monkeypatch.setattr(loggers, "LastingWandbLogger", Refused)
    monkeypatch.setattr(loggers, "_answers", lambda url: True)
    assert vars(loggers.wandb_logger(online))["offline"] is True
    assert "refuses (PermissionError: no such key); going on offline" in capsys.readouterr().err
    monkeypatch.undo()


def test_wandb_gets_nothing_of_the_command_line_and_gives_up_at_the_end(tmp_path) -> None:
    settings = loggers._settings(loggers.WAIT)
    assert settings.x_disable_meta and 0 < settings.finish_timeout <= 60
    assert settings.init_timeout <= 10


def test_wandb_is_finished_for_the_next_job(tmp_path: Path) -> None:
    import wandb

    for job in range(2):
        logger = loggers.wandb_logger(tmp_path, name=f"job{job}")
        logger.log_metrics({"loss": 1.0}, 1)
        assert wandb.run is not None
        loggers.finish_loggers([logger])
        assert wandb.run is None
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


def test_no_model_is_asked_of_wandb_itself_which_refuses_that_offline(tmp_path: Path) -> None:
    logger = loggers.wandb_logger(tmp_path, log_model=True)
    assert logger.sends_model and logger._log_model is False


def test_mlflow_that_is_not_installed_is_refused_with_what_to_install(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        loggers.mlflow_logger(tmp_path)
    assert str(caught.value) == (
        "logger.mlflow: MLflow is not installed; pip install 'i2i-dds[mlflow]', "
        "or leave logger=mlflow out"
    )


def test_mlflow_writes_into_the_folder_of_the_run(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    logger = loggers.mlflow_logger(tmp_path, run_name="a")
    logger.log_metrics({"val/success": 1.0}, 3)
    log_pictures([logger], {"source": [Image.new("RGB", (4, 4))]}, ["a"], 3)
    logger.finalize("success")
    (metric,) = (tmp_path / "mlflow").rglob("val/success")
    assert metric.read_text().split()[1:] == ["1.0", "3"]
    assert len(list((tmp_path / "mlflow").rglob("held_out*step+3*.png"))) == 1
