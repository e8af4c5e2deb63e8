import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from i2i_dds.training import loggers
from i2i_dds.training.histogram import TimestepHistogram
from i2i_dds.training.media import log_histogram, log_pictures, log_student, strip
from tests.training.logged import WandbFile, tensorboard


def columns() -> dict[str, list[Image.Image]]:
    gray = [Image.fromarray(np.full((4, 4, 3), level, dtype=np.uint8)) for level in (0, 200)]
    return {"source": gray, "student": gray[::-1]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where W&B would stage what is not in the run's folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("HOME", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(name, str(folder))
    return folder


def test_wandb_has_pictures_in_the_folder_of_the_run_and_nothing_at_home(tmp_path, home) -> None:
    logger = loggers.wandb_logger(tmp_path / "run", name="a")
    for step in (3, 6):
        log_pictures([logger], columns(), ["a cat", "b"], step)
    loggers.finish_loggers([logger])
    file = WandbFile(tmp_path / "run")
    rows = file.rows("held_out")
    assert [row["trainer/global_step"] for row in rows] == [3, 6]  # a slider
    for row in rows:
        shown = row["held_out"]
        assert shown["captions"] == ["source | student: a cat", "source | student: b"]
        for name in shown["filenames"]:
            with Image.open(file.files / name) as picture:
                assert picture.size == (8, 4)
    assert not [path for path in home.rglob("*.png")] + [path for path in home.rglob("*.json")]


def test_a_strip_has_its_pictures_from_left_to_right() -> None:
    row = np.asarray(strip([columns()["source"][0], columns()["student"][0]]))
    assert row.shape == (4, 8, 3) and (row[:, :4] == 0).all() and (row[:, 4:] == 200).all()


def test_tensorboard_has_pictures_and_a_histogram(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="t")
    log_pictures([logger], columns(), ["a", "b"], 3)
    log_histogram([logger], "train/timesteps", [1, 1, 25], [0, 10, 20, 30], 3)
    logger.save()
    events = tensorboard(tmp_path / "t")
    assert events.Tags()["images"] == ["held_out/0", "held_out/1"]
    (picture,) = events.Images("held_out/1")
    assert (picture.step, picture.width, picture.height) == (3, 8, 4)
    (drawn,) = events.Histograms("train/timesteps")
    assert drawn.step == 3 and drawn.histogram_value.num == 3
    assert drawn.histogram_value.sum == 27


def test_wandb_has_the_histogram_on_the_same_axis(tmp_path: Path) -> None:
    logger = loggers.wandb_logger(tmp_path, name="a")
    log_histogram([logger], "train/timesteps", [1, 1, 25], [0, 10, 20, 30], 7)
    loggers.finish_loggers([logger])
    (row,) = WandbFile(tmp_path).rows("train/timesteps")
    assert row["train/timesteps"]["values"] == [2, 0, 1]
    assert row["train/timesteps"]["bins"] == [0, 10, 20, 30]
    assert row["trainer/global_step"] == 7


def test_loggers_without_pictures_are_passed_over(tmp_path: Path) -> None:
    log_pictures([CSVLogger(tmp_path)], columns(), ["a", "b"], 3)
    log_histogram([CSVLogger(tmp_path)], "train/timesteps", [1], [0, 10], 3)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_histogram_is_of_what_was_drawn_since_the_last_validation(
    module, data, trainer, tmp_path: Path
) -> None:
    board = TensorBoardLogger(tmp_path, name="", version="t")
    training = module()
    steps: list[list[int]] = []
    draw = training.timesteps

    def watched(*arguments: Any) -> Any:
        drawn = draw(*arguments)
        steps.append(drawn.tolist())
        return drawn

    training.timesteps = watched
    every = {"val_check_interval": 2, "limit_val_batches": 1}
    fitting = trainer(4, TimestepHistogram(bins=10), logger=board, **every)
    fitting.fit(training, datamodule=data())
    board.save()
    found = tensorboard(tmp_path / "t").Histograms("train/timesteps")
    assert [one.step for one in found] == [2, 4] and len(steps) == 4
    drawn = [sum(sum(steps[:2], [])), sum(sum(steps[2:], []))]
    assert [one.histogram_value.sum for one in found] == drawn


class Run:
    """Stands for a run of W&B."""

    def __init__(self, offline: bool) -> None:
        self.offline, self.sent = offline, []

    def log_artifact(self, artifact: Any) -> None:
        self.sent.append(artifact)


@pytest.fixture
def student_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "README.md").write_text("its card")
    (folder / "config.json").write_text(json.dumps({}))
    return folder


def sent(run: Run, folder: Path, monkeypatch, **settings: Any) -> list[Any]:
    logger = loggers.LastingWandbLogger(offline=True, **settings)
    monkeypatch.setattr(loggers.LastingWandbLogger, "experiment", property(lambda _: run))
    log_student([logger], folder, "cat2lion", {"success": 1.0})
    return run.sent


def test_a_student_and_its_card_are_an_artifact(student_folder, home, monkeypatch) -> None:
    (artifact,) = sent(Run(offline=False), student_folder, monkeypatch, sends_model=True)
    assert (artifact.name, artifact.type) == ("student-cat2lion", "model")
    assert set(artifact.manifest.entries) == {"README.md", "config.json"}
    assert artifact.metadata == {"success": 1.0}
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_no_student_is_sent_unasked_or_offline(student_folder, monkeypatch, capsys) -> None:
    assert sent(Run(offline=False), student_folder, monkeypatch) == []
    assert sent(Run(offline=True), student_folder, monkeypatch, sends_model=True) == []
    assert "log_model: W&B is offline, and no student was sent" in capsys.readouterr().err
