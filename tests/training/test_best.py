"""The best student is the one that a validation measured, whatever came after."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback

from i2i_dds.errors import UserError
from i2i_dds.student.load import load_student
from i2i_dds.training.best import BEST, BestStudent
from i2i_dds.training.checkpoints import Checkpoints
from i2i_dds.weight_average import WeightAverage

METRIC = "val/metric"


class Scripted(Callback):
    """Logs one number a validation, and keeps a copy of the weights that were measured."""

    def __init__(self, *values: float) -> None:
        self.values, self.weights = list(values), []

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.measured = {k: v.clone() for k, v in pl_module.student.state_dict().items()}

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.weights.append(self.measured)
        pl_module.log(METRIC, self.values[len(self.weights) - 1])


@pytest.fixture
def train(module, data, trainer):
    def train(steps: int, *callbacks: Callback, ckpt_path: Path | None = None) -> None:
        fitting = trainer(steps, *callbacks, limit_val_batches=1, val_check_interval=1)
        fitting.fit(module(), datamodule=data(), ckpt_path=ckpt_path, weights_only=True)

    return train


def same(path: Path, weights: dict[str, torch.Tensor]) -> bool:
    found = load_student(path).state_dict()
    return all(torch.equal(found[name], value) for name, value in weights.items())


@pytest.mark.parametrize(("mode", "best"), [("max", 2), ("min", 3)])
def test_it_is_the_one_that_was_measured(train, tmp_path, mode, best):
    scripted, kept = Scripted(2.0, 3.0, 1.0, 2.0), BestStudent(tmp_path, METRIC, mode)
    train(4, WeightAverage(decay=0.5), scripted, kept)
    assert (kept.step, kept.value) == (best, scripted.values[best - 1])
    assert kept.path == tmp_path / BEST
    assert [same(tmp_path / BEST, one) for one in scripted.weights] == [
        step == best for step in (1, 2, 3, 4)
    ]


def test_the_first_of_equals_stays_and_what_is_no_number_is_none(train, tmp_path):
    kept = BestStudent(tmp_path, METRIC)
    train(4, Scripted(math.nan, 1.0, 1.0, math.inf), kept)
    assert kept.step == 2


def test_a_training_that_goes_on_knows_the_best_of_the_one_before(train, tmp_path):
    """Also one that was measured after the checkpoint it goes on from was written."""
    first = BestStudent(tmp_path / "first", METRIC)
    train(2, Scripted(1.0, 3.0), first, Checkpoints(tmp_path / "first"))
    for values, step in (((2.0, 2.5), 2), ((2.0, 4.0), 4)):
        again = BestStudent(tmp_path / "again", METRIC)
        train(4, Scripted(*values), again, ckpt_path=tmp_path / "first" / "last.ckpt")
        assert again.step == step
        assert again.path == tmp_path / ("first" if step == 2 else "again") / BEST
    (tmp_path / "first" / BEST).unlink()
    gone = BestStudent(tmp_path / "gone", METRIC)
    train(3, Scripted(0.5), gone, ckpt_path=tmp_path / "first" / "last.ckpt")
    assert gone.step == 3


def test_another_metric_begins_anew(train, tmp_path):
    first = BestStudent(tmp_path, METRIC)
    train(1, Scripted(9.0), first)
    other = BestStudent(tmp_path, "val/other")
    other.load_state_dict(first.state_dict())
    assert other.path is None


def test_what_no_validation_measures_is_named(train, tmp_path):
    with pytest.raises(UserError, match=r"monitor: no validation measures 'val/metrik'; one of"):
        train(1, Scripted(1.0), BestStudent(tmp_path, "val/metrik"))
    with pytest.raises(UserError, match="mode: 'most'"):
        BestStudent(tmp_path, mode="most")
