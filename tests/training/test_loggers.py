import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from i2i_dds.training import loggers


def columns() -> dict[str, list[Image.Image]]:
    grey = [Image.fromarray(np.full((4, 4, 3), level, dtype=np.uint8)) for level in (0, 200)]
    return {"source": grey, "student": grey[::-1]}


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
    settings = loggers._settings()
    assert settings.x_disable_meta and 0 < settings.finish_timeout <= 60
    assert settings.init_timeout <= 10


def test_wandb_takes_pictures_and_is_finished_for_the_next_job(tmp_path: Path) -> None:
    import wandb

    for job in range(2):
        logger = loggers.wandb_logger(tmp_path, name=f"job{job}")
        loggers.log_pictures([logger], columns(), ["a", "b"], 3)
        assert wandb.run is not None
        loggers.finish_loggers([logger])
        assert wandb.run is None
    runs = list((tmp_path / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    for run in runs:
        (path,) = run.glob("files/media/table/*.json")
        table = json.loads(path.read_text())
        assert table["columns"] == ["edit", "source", "student"]
        assert table["data"] == [["a", "Image", "Image"], ["b", "Image", "Image"]]


def test_tensorboard_takes_pictures(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="t")
    loggers.log_pictures([logger], columns(), ["a", "b"], 3)
    logger.save()
    assert sum(path.stat().st_size for path in (tmp_path / "t").iterdir()) > 100
