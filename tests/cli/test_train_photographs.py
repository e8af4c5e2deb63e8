"""Training on a folder of twelve pictures, as a user types it."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from i2i_dds.cli.evaluate import main as evaluate
from i2i_dds.cli.train import main
from tests.cli.test_train import FEW

SIZES = ("data.n_train", "data.n_val", "data.n_test")


@pytest.fixture
def run(typed, tmp_path: Path):
    for i in range(12):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), (20 * i, 99, 9)).save(tmp_path / "photos" / f"{i}.jpg")

    def run(*arguments: str) -> Any:
        few = [one for one in FEW if not one.startswith(SIZES)]
        settings = ["task=photo_cat2lion", "data=folder", "data.folder=photos", "judge=null"]
        return typed(main, *settings, *few, *arguments)

    return run


CAPTION = "data.caption=a photo of a cat, asleep"


def test_twelve_photographs_train_and_are_measured(run, typed) -> None:
    done = run(CAPTION)
    metrics = json.loads((done.folder / "metrics.json").read_text())
    assert metrics["n"] == 1 and metrics["steps"] == 4
    assert metrics["psnr_backdrop"] > 20 and metrics["psnr_source"] > 20
    assert "pictures: 11 to train on, 1 for validation, 0 for the test" in done.err
    assert (done.folder / "grid.png").is_file()
    given = ["data=folder", "data.folder=photos", CAPTION, "data.size=32", "judge=null"]
    found = typed(evaluate, f"ckpt={done.folder}", *given, "split=val", "zero_shot.steps=1").folder
    assert json.loads((found / "metrics.json").read_text())["n"] == 1


def test_nothing_need_be_held_out(run, typed) -> None:
    done = run(CAPTION, "data.held_out=none")
    metrics = json.loads((done.folder / "metrics.json").read_text())
    assert metrics["n"] == 0 and metrics["steps"] == 4
    assert not (done.folder / "grid.png").exists() and (done.folder / "student").is_dir()
    assert "no picture is held out for validation, so none is measured" in done.err
    assert "step 2:" not in done.err
    given = ["data=folder", "data.folder=photos", CAPTION, "data.size=32", "data.held_out=none"]
    refused = typed(evaluate, f"ckpt={done.folder}", *given, "judge=null")
    assert refused.code == 2
    assert refused.sentence.startswith("error: split: no picture of 'photos' is held out for test")


@pytest.mark.parametrize("name", ["best", "early_stopping"])
def test_without_a_validation_no_callback_can_go_by_it(run, name) -> None:
    done = run(CAPTION, "data.held_out=none", f"callbacks={name}")
    assert done.code == 2
    assert f"callbacks.{name}.monitor: 'val/psnr_truth_gain' is measured by no" in done.sentence


def test_a_missing_caption_is_named_with_its_key(run) -> None:
    done = run()
    assert done.code == 2
    assert done.sentence.startswith("error: data.caption: 12 of the 12 pictures of 'photos' have")
