"""A metric is one function and one line, and is then everywhere."""

import csv
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from i2i_dds.cli import edit
from i2i_dds.critters import ATTRIBUTES
from i2i_dds.data.edits import SceneEdits, collate
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.evaluation.metric import (
    METRICS,
    Measured,
    Metric,
    edit_metrics,
    measure,
    printed,
    ranking_metrics,
)
from i2i_dds.evaluation.students import optimizable
from i2i_dds.research import plots
from i2i_dds.research.benchmark.sets import critters
from i2i_dds.research.benchmark.table import summary, table
from i2i_dds.research.descent import traced
from i2i_dds.research.studies.students import compared_numbers
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.training.validation import HeldOutMetrics

TASKS = TaskSet(
    [Task("cat2lion", {"cat": "lion"}, source={"species": "cat"}, target={"species": "lion"})]
)


class FirstValues:
    """A judge that sees the first value of each attribute in every picture."""

    attributes = ATTRIBUTES

    def predict(self, x):
        return {name: [values[0]] * len(x) for name, values in ATTRIBUTES.items()}


class NoClip:
    def direction(self, x, x_src, prompts, prompts_src):
        return torch.zeros(len(x))


def redness(measured: Measured) -> Tensor:
    """Mean of the red channel."""
    return measured.x[:, 0].mean((1, 2))


@pytest.fixture
def added(monkeypatch):
    """The registry with one metric more."""
    monkeypatch.setitem(METRICS, "redness", Metric("redness", "redness", "%", 1, True, redness))


@pytest.fixture
def batch():
    data = SceneEdits(TASKS, "test", n=2, size=32)
    return collate([data[i] for i in range(2)])


@pytest.fixture
def evaluator():
    teacher = GaussianMixtureTeacher(torch.zeros(1, 3, 2, 2), torch.ones(1))
    return Evaluator(TASKS, teacher, FirstValues())  # type: ignore[arg-type]


def test_an_added_metric_is_in_the_files_of_a_run(added, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ("teacher.device=cpu", "source=critters", "n=2", "steps=1")
    monkeypatch.setattr(sys, "argv", ["edit", *arguments])
    edit.main()
    done = capsys.readouterr()
    folder = Path(done.out.splitlines()[-1])
    found = json.loads((folder / "metrics.json").read_text())["redness"]
    with (folder / "rows.csv").open() as file:
        rows = [float(row["redness"]) for row in csv.DictReader(file)]
    assert found == pytest.approx(sum(rows) / 2) and -1 < found < 1
    assert f"{found:.1f} %" in done.err


def test_an_added_metric_is_in_the_benchmarks_table(added, evaluator, batch):
    data = critters(evaluator, NoClip(), split="test", n=2, size=32)  # type: ignore[arg-type]
    where = {"editor": "none", "edit": "cat2lion", "strength": None, "seed": 0}
    numbers = data.meter(batch, torch.full_like(batch["image"], 0.25))
    lines = table([{**where, **one} for one in numbers], data.metrics)
    header, _, line = (text.split(" | ") for text in summary(lines, data.metrics).splitlines())
    assert dict(zip(header, line, strict=True))["redness"].rstrip(" |") == "0.25"


def test_an_added_metric_is_logged_at_each_validation(added, evaluator, batch):
    logged = {}
    module = SimpleNamespace(
        student=SimpleNamespace(tasks=TASKS),
        teacher=evaluator.teacher,
        log=lambda name, value, **how: logged.update({name: value}),
    )
    callback = HeldOutMetrics(evaluator.judge)
    callback.on_validation_epoch_start(None, module)  # type: ignore[arg-type]
    callback.on_validation_batch_end(None, module, batch["image"] * 0 + 0.25, batch, 0)  # type: ignore[arg-type]
    callback.on_validation_epoch_end(None, module)  # type: ignore[arg-type]
    assert logged["val/redness"] == 0.25 and "val/psnr_truth_gain" in logged


def test_an_added_metric_has_its_label_on_plots(added, tmp_path, monkeypatch):
    titles = []
    save = plots.save

    def watched(figure, axes, path, **how):
        titles.extend(axis.get_title() for axis in axes)
        save(figure, axes, path, **how)

    monkeypatch.setattr(plots, "save", watched)
    lines = [{"variant": "a", "redness": 1.0, "drift": 2.0, "unheard": 3.0}]
    plots.plot_bars(lines, "variant", ("redness", "drift", "unheard"), tmp_path / "bars.png")
    assert titles == ["redness, %", "distance from the source, RMS latent", "unheard"]


def test_an_added_metric_may_be_optimized_and_compared(added):
    assert all("redness" in names for names in (optimizable(), compared_numbers(), traced()))


def test_names_and_their_order_are_those_of_the_files():
    of_files = ["success", "psnr_truth", "psnr_truth_source", "psnr_truth_source_recon"]
    of_files += ["psnr_backdrop", "sharpness", "sharpness_source", "psnr_truth_gain"]
    assert [metric.name for metric in edit_metrics()] == of_files
    ranking = ["success", "psnr_truth", "psnr_truth_gain", "psnr_backdrop", "sharpness"]
    assert ranking_metrics() == ranking
    assert all(name == metric.name for name, metric in METRICS.items())


def test_the_gain_is_that_over_the_untouched_source():
    # Errors of 0.2 and 0.02 of the range 2: 20 and 40 dB.
    truth = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    measured = Measured(truth + 0.2, truth + 0.02, truth=truth)
    (row,) = measure([METRICS[name] for name in ("psnr_truth", "psnr_truth_gain")], measured)
    assert row == {"psnr_truth": pytest.approx(40), "psnr_truth_gain": pytest.approx(20)}


def test_the_judge_is_asked_once_and_the_autoencoder_only_where_it_is_needed(evaluator, batch):
    calls = []
    judge = SimpleNamespace(predict=lambda x: calls.append(x) or FirstValues().predict(x))
    measured = Measured(batch["image"], batch["image"], tasks=[TASKS[0]] * 2, judge=judge)
    # Without a truth nothing asks for the reconstruction: there is no teacher here.
    rows = measure([*METRICS.values(), METRICS["success"]], measured)
    assert len(calls) == 1
    assert all(math.isnan(row["psnr_backdrop"]) and row["success"] in (0, 1) for row in rows)


def test_numbers_are_printed_in_their_digits_and_unit():
    assert printed("psnr_truth", 12.3456) == "12.35 dB"
    assert printed("success", 0.5) == "0.500"
    assert printed("zero_shot_speedup", 123.456) == "123.5"  # no metric
    assert printed("success", None) == "-"
