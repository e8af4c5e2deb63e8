import json
from pathlib import Path

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger

from i2i_dds.training import loggers


def columns() -> dict[str, list[Image.Image]]:
    grey = [Image.fromarray(np.full((4, 4, 3), level, dtype=np.uint8)) for level in (0, 200)]
    return {"source": grey, "student": grey[::-1]}


def test_wandb_needs_no_account(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(loggers, "_has_key", lambda: False)
    assert loggers.wandb_logger(tmp_path)._offline
    monkeypatch.setattr(loggers, "_has_key", lambda: True)
    assert not loggers.wandb_logger(tmp_path)._offline
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert loggers.wandb_logger(tmp_path)._offline


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
