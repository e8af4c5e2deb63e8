import logging
from pathlib import Path

import pytest
import torch
from PIL import Image
from pytorch_lightning.loggers import CSVLogger

from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.errors import UserError
from i2i_dds.evaluation.picture_table import rows_of
from i2i_dds.training.progress import ProgressBar
from i2i_dds.training.throughput import Throughput
from i2i_dds.training.validation import HeldOutMetrics, PictureTable
from i2i_dds.weight_average import WeightAverage


class Zeros(LatentOptimization):
    """Counts its calls."""

    calls = 0

    def __call__(self, teacher, batch):
        type(self).calls += 1
        return super().__call__(teacher, batch)


def test_a_training_is_watched(
    module, data, trainer, judge, tmp_path: Path, caplog, capsys
) -> None:
    caplog.set_level(logging.INFO)
    speed, zero_shot = Throughput(), Zeros(steps=2)
    metrics, table = HeldOutMetrics(judge), PictureTable(tmp_path / "pictures", zero_shot, n=2)
    fitting = trainer(
        4,
        *(metrics, table, speed, ProgressBar(), WeightAverage(decay=0.5)),
        logger=CSVLogger(tmp_path, name="", version="log"),
        val_check_interval=2,
        limit_val_batches=1.0,
        log_every_n_steps=1,
    )
    fitting.fit(module(), datamodule=data())
    found = fitting.callback_metrics
    for name in ("val/success", "val/psnr_truth_gain", "val/psnr_backdrop", "val/n"):
        assert torch.isfinite(found[name]), name
    assert found["val/n"] == 6 and "val/success/lion" in found
    # both validations are drawn, the zero-shot edits made once
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["step-000002.png", "step-000004.png"] and Zeros.calls == 1
    sheets = [Image.open(tmp_path / "pictures" / name).tobytes() for name in names]
    assert sheets[0] != sheets[1]
    header = (tmp_path / "log" / "metrics.csv").read_text().splitlines()[0].split(",")
    wanted = ("loss", "score", "identity", "guidance", "identity_weight", "latent_gradient")
    wanted += ("weight_gradient", "nonfinite", "images_per_second")
    assert {f"train/{name}" for name in wanted} <= set(header)
    assert speed.images_per_second and speed.images_per_second > 0
    assert "step 2: success" in caplog.text
    assert capsys.readouterr().out == ""


def test_metrics_are_those_of_the_averaged_weights(module, data, trainer, judge) -> None:
    """With decay 1 the average never leaves the first step's weights."""

    class Frozen(WeightAverage):
        def should_update(self, step_idx=None, epoch_idx=None):
            return False

    def gain(*averaging):
        fitting = trainer(
            3, HeldOutMetrics(judge), *averaging, val_check_interval=3, limit_val_batches=1
        )
        training = module(optimizer=lambda p: torch.optim.AdamW(p, lr=0.05))
        fitting.fit(training, datamodule=data())
        return fitting.callback_metrics["val/psnr_truth"]

    watching = trainer(1, HeldOutMetrics(judge), limit_val_batches=1)
    recon = watching.validate(module(), datamodule=data(), verbose=False)
    assert gain(Frozen()).item() == pytest.approx(recon[0]["val/psnr_truth"], abs=1e-4)
    assert gain().item() != pytest.approx(recon[0]["val/psnr_truth"], abs=1e-4)


def test_rows_are_spread_over_the_tasks(data) -> None:
    rows = rows_of(data().dataset("val"), 2)
    assert rows["task"].tolist() == [0, 1]
    assert len(rows_of(data().dataset("val"), 99)["key"]) == 6


def test_a_table_without_rows_is_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="n: 0 is not allowed"):
        PictureTable(tmp_path, n=0)
