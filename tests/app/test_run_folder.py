import json
import os
from pathlib import Path

import pytest
from PIL import Image

from i2i_dds import UserError
from i2i_dds.app import run_folder
from i2i_dds.app.run_folder import find_runs, read_run


def write_run(folder: Path, steps: int = 3) -> Path:
    """A folder as train.py leaves it."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "log").mkdir()
    (folder / "config.json").write_text("{}")
    for step in range(10, 10 * steps + 1, 10):
        Image.new("RGB", (40, 30), (step % 256, 0, 0)).save(
            folder / f"pictures/step-{step:06d}.png"
        )
    lines = [
        "epoch,step,train/loss,val/psnr_truth_gain",
        "0,9,2.5,",
        ",9,,0.1",
        "0,19,nan,",
        ",19,,0.4",
    ]
    (folder / "log/metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "metrics.json").write_text(
        json.dumps({"success": 0.5, "psnr_truth_gain": 1.25, "overrides": ["task=<b>x</b>"]})
    )
    (folder / "rows.csv").write_text("key,task,success,seconds\na,cat2lion,1.0,\nb,cat2lion,0.0,\n")
    return folder


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a"))
    assert run.metrics["success"] == 0.5 and len(run.rows) == 2
    assert [step for step, _ in run.samples] == [10, 20, 30]
    assert run.curves == {
        "train/loss": [(9, 2.5)],
        "val/psnr_truth_gain": [(9, 0.1), (19, 0.4)],
    }


def test_a_run_that_goes_on_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    for name in ("metrics.json", "rows.csv", "log/metrics.csv"):
        (folder / name).unlink()
    run = read_run(folder)
    assert (run.metrics, run.rows, run.curves) == ({}, [], {}) and len(run.samples) == 3


def test_of_many_samples_some_are_shown_with_the_last(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a", steps=60))
    assert len(run.samples) <= run_folder.MOST_SAMPLES and run.samples[-1][0] == 600


@pytest.mark.parametrize("content", ["{", "[" * 100_000, '"\udcff"'.encode("utf-8", "replace")])
def test_a_broken_file_is_named(tmp_path: Path, content) -> None:
    folder = write_run(tmp_path / "a")
    data = content.encode() if isinstance(content, str) else b"\xff\xfe"
    (folder / "metrics.json").write_bytes(data)
    with pytest.raises(UserError, match="cannot be read"):
        read_run(folder)


def test_runs_are_those_in_the_folders_and_in_sweeps_the_newest_first(tmp_path: Path) -> None:
    write_run(tmp_path / "train/2026-01-01-a")
    write_run(tmp_path / "train/2026-01-02-sweep/0-b")
    (tmp_path / "train/2026-01-01-a/student").mkdir()
    (tmp_path / "train/2026-01-01-a/student/config.json").write_text("{}")
    write_run(tmp_path / "elsewhere/2026-01-03-c")
    assert list(find_runs([tmp_path / "train"])) == ["2026-01-01-a", "2026-01-02-sweep/0-b"]
    assert find_runs([tmp_path / "nothing"]) == {}


def test_links_lead_to_nothing_outside(tmp_path: Path) -> None:
    outside = write_run(tmp_path / "outside/x")
    (tmp_path / "train").mkdir()
    os.symlink(outside, tmp_path / "train/link")
    assert find_runs([tmp_path / "train"]) == {}
    inside = write_run(tmp_path / "train/a")
    (inside / "metrics.json").unlink()
    os.symlink(outside / "metrics.json", inside / "metrics.json")
    os.symlink(outside / "pictures/step-000010.png", inside / "pictures/step-000099.png")
    run = read_run(inside)
    assert run.metrics == {} and [step for step, _ in run.samples] == [10, 20, 30]
