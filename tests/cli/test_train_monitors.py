"""Callbacks that go by what validations measure: the best student, and an early end."""

import json

import pytest
import torch

from i2i_dds.student.load import load_student
from tests.cli.test_train import run as run  # noqa: PLC0414


def _same(a, b) -> bool:
    pairs = zip(load_student(a).parameters(), load_student(b).parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


# The background is best where the student has changed the least.
BEST = ("task=cat2lion", "callbacks=best", "callbacks.best.monitor=val/psnr_backdrop")


def test_the_best_student_is_saved_measured_and_named(run) -> None:
    folder = run(*BEST).folder
    numbers = json.loads((folder / "metrics.json").read_text())
    assert numbers["best"]["step"] == 2 and numbers["steps"] == 4
    assert _same(folder / "student", folder / "checkpoints" / "best.ckpt")
    assert not _same(folder / "student", folder / "checkpoints" / "last.ckpt")
    assert "those of step 2 of 4" in (folder / "student" / "README.md").read_text()
    again = run(*BEST, f"ckpt_path={folder}/checkpoints/last.ckpt", "paths.suffix=-again").folder
    assert _same(again / "student", folder / "student")
    measured = json.loads((again / "metrics.json").read_text())
    assert measured["psnr_backdrop"] == pytest.approx(numbers["psnr_backdrop"], abs=1e-4)


def test_a_training_ends_early(run) -> None:
    stop = ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val/psnr_backdrop"]
    folder = run(
        "task=cat2lion", *stop, "callbacks.early_stopping.patience=1", "trainer.max_steps=40"
    ).folder
    assert json.loads((folder / "metrics.json").read_text())["steps"] < 40


@pytest.mark.parametrize("name", ["best", "early_stopping"])
def test_a_metric_that_nobody_measures_is_refused_by_its_key(run, name) -> None:
    key = f"callbacks.{name}.monitor"
    done = run("task=cat2lion", f"callbacks={name}", f"{key}=val/psnr")
    assert done.code == 2
    assert f"{key}: no validation measures 'val/psnr'; one of" in done.err
    assert "val/psnr_backdrop" in done.err
