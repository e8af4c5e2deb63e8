import json

import pytest
from PIL import Image

from i2i_dds.cli.bench import main
from i2i_dds.research.bench.run import PARTS, parts_of
from i2i_dds.research.bench.run import ROWS as ROWS_BY_NAME
from i2i_dds.teacher.random_weights import build_random_stable_diffusion

ROWS = {
    "zero_shot_single",
    "zero_shot_batch16_per_image",
    "zero_shot_8_targets",
    "sde_drag",
    "sde_drag_batch16",
}
ROWS |= {"training", "training_4_tasks"}
COLUMNS = {"ratio", "ours_s", "plain_s", "max_difference", "ratio_equal_quality", "quality"}


def test_bench_writes_numbers_a_table_and_a_figure(typed, monkeypatch) -> None:
    monkeypatch.delenv("I2I_DDS_POCKET")  # random weights would amplify rounding
    folder = typed(main, "setting=quick").folder
    assert sorted(p.name for p in folder.iterdir()) == ["bench.json", "bench.png", "table.md"]
    found = json.loads((folder / "bench.json").read_text())
    for name in ROWS:
        row = found[name]
        assert set(row) >= COLUMNS and row["max_difference"] <= row["tolerance"], name
        assert row["ratio"] > 0
    shares = found["teacher_share_of_peak"]
    assert {"batch4", "batch32"} <= set(shares) & set(shares["onnx"]) and not shares["compiled"]
    assert found["machine"]["threads"] >= 1 and found["crowded"] is None
    assert found["settings"]["setting"] == "quick"
    table = (folder / "table.md").read_text()
    assert all(f"| {name} |" in table for name in ROWS)
    with Image.open(folder / "bench.png") as picture:
        assert picture.width > 600


def test_some_rows_alone(typed, monkeypatch) -> None:
    monkeypatch.delenv("I2I_DDS_POCKET")
    folder = typed(main, "setting=quick", "only=sde_drag_batch16", "compile=false").folder
    assert sorted(p.name for p in folder.iterdir()) == ["bench.json", "table.md"]
    assert ROWS & set(json.loads((folder / "bench.json").read_text())) == {"sde_drag_batch16"}
    assert (folder / "table.md").read_text().count("\n| ") == 1


def test_the_bar_knows_how_many_parts_there_are() -> None:
    assert parts_of(ROWS_BY_NAME) == PARTS - 3  # without growth, the network, the crowded machine
    assert parts_of(["zero_shot"]) == 3 and parts_of(["training", "sde_drag"]) == 2


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("setting=slow", "setting: 'slow' is not allowed; give one of full, quick"),
        ("rounds=0", "rounds: 0 is not allowed; give a whole number of at least 1"),
        ("targets=12", "targets: 12 is not allowed; give a whole number from 1 to 11"),
        ("crowded=often", "crowded: 'often' is not allowed; give true or false"),
        ("only=[crowded]", "only: ['crowded'] is not allowed; give one of zero_shot, sde_drag,"),
        ("compile=auto", "compile: 'auto' is not allowed; give true, false, or onnx"),
        (
            "suite=gpu gpu.device=cpu gpu.compile=onnx",
            "gpu.compile: 'onnx' is not allowed; give true",
        ),
        ("suite=tpu", "suite: 'tpu' is not allowed (did you mean"),
        ("suite=gpu gpu.device=cpu gpu.edit_steps=0", "gpu.edit_steps: 0 is not allowed; give a"),
        (
            "suite=gpu gpu.device=cpu gpu.teachers=[sd9]",
            "gpu.teachers: the configs of 'sd9'",
        ),
        ("teacher.dtype=float64", "teacher.dtype: float64 is not allowed, for in it both ways"),
    ],
)
def test_mistakes_end_in_one_sentence(typed, argument: str, message: str) -> None:
    typed_in = [*argument.split(), *([] if "setting" in argument else ["setting=quick"])]
    done = typed(main, *typed_in)
    assert done.code == 2 and not done.out
    assert done.sentence.startswith(f"error: {message}")


def test_suite_of_true_shapes(typed, tmp_path) -> None:
    sd = build_random_stable_diffusion(tmp_path / "sd", "tiny")
    where = [f"gpu.teachers=[sd15:{sd}]", "gpu.device=cpu", "gpu.dtype=float32"]
    folder = typed(main, "suite=gpu", "setting=quick", "gpu.rows=[1,2]", *where).folder
    assert sorted(p.name for p in folder.iterdir()) == ["bench.json", "table.md"]
    (found,) = json.loads((folder / "bench.json").read_text())["teachers"].values()
    one, two = (found["network"]["rows"][rows] for rows in ("1", "2"))
    assert two["flops"] == 2 * one["flops"] > 0
    assert one["per_second"] == pytest.approx(1 / one["seconds"])
    assert found["edit"]["batch"] == 2 and found["edit"]["alone_s"] > 0
    assert found["training"]["images_per_second"] > 0
    assert "| sd15 | 2 | " in (folder / "table.md").read_text()
