"""Both ways of the bench are the same, and a difference is noticed before a ratio is told."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from i2i_dds.cli import bench
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.errors import UserError
from i2i_dds.research.bench.timing import in_turn, share_of_peak
from i2i_dds.research.bench.zero_shot import cases, compare
from i2i_dds.teacher.load import load_teacher


@pytest.fixture(scope="module")
def teacher():
    return load_teacher("pocket", device="cpu", dtype="float32")


def test_plain_loops_and_ours_end_at_the_same_latents(teacher) -> None:
    editor = LatentOptimization(steps=3, lr=0.1, guidance_scale=3.0)
    for case in cases(teacher, 2, 3).values():
        row = compare(teacher, case, editor, rounds=1)
        assert row["max_difference"] < 1e-4 and row["plain_s"] > 0
        assert row["ratio"] == pytest.approx(row["plain_s"] / row["ours_s"])


def test_a_difference_is_refused(teacher) -> None:
    class Farther(LatentOptimization):
        def __call__(self, teacher, batch):
            return replace(LatentOptimization(steps=2), lr=0.2)(teacher, batch)

    case = cases(teacher, 1, 1)["zero_shot_single"]
    with pytest.raises(UserError, match="bench: both ways differ by"):
        compare(teacher, case, Farther(steps=2, lr=0.1), rounds=1)


def test_ways_run_in_turn_and_the_first_round_is_not_counted() -> None:
    told: list[str] = []
    seconds = in_turn([lambda: told.append("a"), lambda: told.append("b")], rounds=2)
    assert told == ["a", "b"] * 3 and len(seconds) == 2


def test_the_share_of_a_product_is_about_one() -> None:
    a, b = torch.rand(2, 1024, 1024)
    assert 0.4 < share_of_peak(lambda: a @ b, 5) < 2.5


def test_the_command_writes_numbers_a_table_and_a_figure(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["bench", "setting=quick", "crowded=false", "teacher.device=cpu"]
    monkeypatch.setattr(sys, "argv", typed)
    bench.main()
    folder = Path(capsys.readouterr().out.splitlines()[-1])
    found = json.loads((folder / "bench.json").read_text())
    assert {"zero_shot_single", "zero_shot_batch", "zero_shot_targets", "machine"} <= set(found)
    assert set(found["teacher_share_of_peak"]) == {"batch1", "batch4", "batch32"}
    assert (folder / "table.md").read_text().count("zero_shot") == 3
    assert (folder / "bench.png").stat().st_size > 1000
