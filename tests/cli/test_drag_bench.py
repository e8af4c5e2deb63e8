"""Benchmarks of drags from the command to the table: at once, in parts, on two processes."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageOps

from i2i_dds.cli.drag_bench import main
from i2i_dds.critters import render, scenes

FAST = {
    **{"steps": 4, "lora.steps": 2, "features.ensemble": 1, "n": 3, "out": "bench"},
    "drag_step": 4,
    "data": "critters",
}
METRICS = {
    *("n", "failed", "arrived", "arrived_source", "within_cell", "score"),
    *("psnr_truth", "psnr_truth_source"),
    *("md_dragdiffusion", "md_regiondrag", "image_fidelity", "seconds_per_item"),
    *("lora_seconds_per_item", "evaluations_per_item", "nonfinite"),
}
TIMES = ("seconds_per_item", "lora_seconds_per_item")
FILES = {"contact_sheet.png", "histogram.png", "items", "metrics.json", "pictures", "rows.csv",
         "seconds.csv", "settings.json", "table.md"}  # fmt: skip


def settings(arguments: tuple[str, ...]) -> list[str]:
    given = {argument.partition("=")[0] for argument in arguments}
    return [*(f"{key}={value}" for key, value in FAST.items() if key not in given), *arguments]


@pytest.fixture
def run(typed):
    """The command on three Critters, with few steps unless told otherwise."""
    return lambda *arguments: typed(main, *settings(arguments))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Three items in DragDiffusion's layout, by category; the second is broken."""
    for i, (scene, name) in enumerate(zip(scenes("test", 3), ("a/x", "a/y", "b/x"), strict=True)):
        folder = tmp_path / "published" / name
        folder.mkdir(parents=True)
        render(scene, 32).save(folder / "original_image.png")
        Image.new("L", (32, 32), 255).save(folder / "mask.png")
        points = [[8, 8], [24, 8 if i != 1 else 99]]
        words = {"points": points, "prompt": f"animal {i}"}
        (folder / "drag_instruction.json").write_text(json.dumps(words))
    return tmp_path / "published"


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def stamps(folder: Path) -> dict[str, int]:
    files = (folder / "items").rglob("*.json")
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def test_critters_from_command_to_table_and_again(run, tmp_path: Path) -> None:
    done = run("kinds=[head,ear]", "use_lora=false")
    folder = done.folder
    assert len(done.out.splitlines()) == 1 and folder == tmp_path / "bench"
    assert {path.name for path in folder.iterdir()} == FILES
    rows, found = table(folder / "rows.csv"), metrics(folder)
    names = ["test-0-head-00000", "test-0-ear-00001", "test-0-head-00002"]
    assert [row["name"] for row in rows] == names
    assert not any("second" in column for column in rows[0])  # they are never the same
    assert set(found) == {*METRICS, "psnr_source", "outside_equal", "kinds"}
    assert [key for key, value in found.items() if value is None] == ["image_fidelity"]
    assert done.err.count("'lpips' is not installed") == 1
    assert (found["n"], found["failed"], found["outside_equal"]) == (3, 0, 1)
    assert found["psnr_truth"] == pytest.approx(sum(float(r["psnr_truth"]) for r in rows) / 3)
    pairs = sum(int(row["pairs"]) for row in rows)
    pooled = sum(float(row["md_dragdiffusion"]) * int(row["pairs"]) for row in rows) / pairs
    assert pairs == 4 and found["md_dragdiffusion"] == pytest.approx(pooled)
    assert found["evaluations_per_item"] == sum(int(row["evaluations"]) for row in rows) / 3 > 0
    assert found["kinds"]["head"]["n"] == 2 and found["lora_seconds_per_item"] == 0
    assert [row["name"] for row in table(folder / "seconds.csv")] == names
    lines = (folder / "table.md").read_text().splitlines()
    assert lines[2].startswith("| all | 3 | 0 |") and len(lines) == 5
    assert Image.open(folder / "contact_sheet.png").width == 4 * (256 + 6) + 6
    for name in names:
        pictures = {path.name for path in (folder / "pictures" / name).iterdir()}
        assert pictures == {"dragged.png", "before_after.png", "animation.gif"}

    before, written = stamps(folder), (folder / "rows.csv").read_bytes()
    (folder / "items" / f"{names[1]}.json").unlink()
    again = run("kinds=[head,ear]", "use_lora=false")
    assert "2 of 3 items are finished already" in again.err and "1/1" in again.err
    after = stamps(folder)
    assert {Path(path).stem for path in after if after[path] != before[path]} == {names[1]}
    assert (folder / "rows.csv").read_bytes() == written

    more = run("kinds=[head,ear]", "use_lora=false", "n=4")
    assert "3 of 4 items are finished" in more.err and metrics(folder)["n"] == 4
    assert {k: v for k, v in stamps(folder).items() if k in after} == after

    there = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    other = run("kinds=[head,ear]", "use_lora=false", "features.ensemble=2")
    assert other.code == 2 and other.out == ""
    assert other.sentence.startswith(
        "error: features.ensemble: 2 is not allowed here: what is in"
    ) and other.sentence.endswith("was made with 1; give that, another out, or remove the folder")
    typed_key = run("kinds=[head,ear]", "use_lora=false", "strength=0.4")
    assert typed_key.sentence.startswith(
        "error: strength: 0.4 is not allowed here"
    )  # not drag.strength
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == there


def test_drags_side_by_side_make_the_same_table(run) -> None:
    arguments = "kinds=[head,ear]", "use_lora=false", "n=5"
    alone = run(*arguments)
    together = run(*arguments, "batch_size=2", "out=together")
    rows, others = (table(done.folder / "rows.csv") for done in (alone, together))
    assert [row["name"] for row in rows] == [row["name"] for row in others]
    for row, other in zip(rows, others, strict=True):
        assert row["evaluations"] == other["evaluations"]
        assert float(row["psnr_truth"]) == pytest.approx(float(other["psnr_truth"]), abs=0.05)
    assert metrics(together.folder)["failed"] == 0
    (together.folder / "items" / f"{rows[1]['name']}.json").unlink()
    again = run(*arguments, "batch_size=2", "out=together")
    assert "2 of 3 batches are finished already" in again.err
    assert table(together.folder / "rows.csv") == others
    learning = run("batch_size=2", "use_lora=true", "out=learning")
    assert learning.sentence.startswith("error: batch_size: 2 does not go with use_lora=true")


def test_a_broken_item_is_counted_and_the_others_go_on(run, published: Path) -> None:
    arguments = "data=dragbench_d", f"root={published}", "n=null", "lora.steps=1"
    done = run(*arguments)
    rows, found = table(done.folder / "rows.csv"), metrics(done.folder)
    assert "a/y: " in done.err and "(24, 99) is outside the picture" in done.err
    assert [row["name"] for row in rows] == ["a/x", "a/y", "b/x"]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert "(24, 99) is outside the picture" in rows[1]["error"]
    assert rows[1]["md_dragdiffusion"] == "" and float(rows[2]["md_dragdiffusion"]) >= 0
    assert (found["n"], found["failed"]) == (3, 1)
    assert found["arrived"] is None and found["psnr_truth"] is None  # no truth is known
    assert found["lora_seconds_per_item"] > 0
    assert (done.folder / "pictures" / "b" / "x" / "dragged.png").is_file()

    # Mended, it is done with the next run, and it alone.
    before = stamps(done.folder)
    good = published / "a" / "x" / "drag_instruction.json"
    shutil.copy(good, published / "a" / "y" / "drag_instruction.json")
    again = run(*arguments)
    assert "2 of 3 items are finished already" in again.err
    after = {path for path, time in stamps(done.folder).items() if time != before[path]}
    assert metrics(again.folder)["failed"] == 0 and after == {"items/a/y.json"}


def test_an_item_that_fails_as_none_should_is_counted_too(run, monkeypatch) -> None:
    from i2i_dds.research import drag_benchmark

    def failing(item: Any, *others: Any) -> Any:
        if "00001" in item.name:
            raise ZeroDivisionError("of all things")
        return request_of(item, *others)

    request_of = drag_benchmark.request_of
    monkeypatch.setattr(drag_benchmark, "request_of", failing)
    done = run("use_lora=false")
    assert "of all things" in done.err and "Traceback" in done.err
    assert [row["error"] for row in table(done.folder / "rows.csv")] == ["", "of all things", ""]
    assert (metrics(done.folder)["n"], metrics(done.folder)["failed"]) == (3, 1)

    monkeypatch.setattr(drag_benchmark, "request_of", request_of)
    half = done.folder / "items" / "test-0-head-00000.json"
    half.write_text(half.read_text()[:20])
    again = run("use_lora=false")
    assert "1 of 3 items are finished already" in again.err
    assert metrics(again.folder)["failed"] == 0


def test_settings_typed_beside_have_folders_of_their_own(typed) -> None:
    """So that a sweep over them, or a second command, goes on with rows of its own."""
    fast = [f"{key}={value}" for key, value in FAST.items() if key not in ("out", "n", "data")]
    common = "data=critters", "use_lora=false", *fast
    first = typed(main, *common, "n=1").folder
    more = typed(main, *common, "n=2")
    assert more.folder == first and "1 of 2 items are finished already" in more.err
    assert first.name == "critters-cycle_sde-seed0" and first.parent.parent.name == "drag_bench"
    other = typed(main, *common, "n=1", "strength=0.4").folder
    assert other.name == first.name and other != first and "strength=0.4" in other.parent.name


def test_distances_in_another_teachers_features(run, tmp_path: Path) -> None:
    from i2i_dds.teacher.random_weights import build_random_stable_diffusion

    build_random_stable_diffusion(tmp_path / "other", "tiny", seed=1)
    own = run("n=1", "use_lora=false", "out=own")
    others = run("n=1", "use_lora=false", "out=others", "features.teacher=other")
    rows = [table(done.folder / "rows.csv")[0] for done in (own, others)]
    distances = {"md_dragdiffusion", "md_regiondrag"}
    assert {key for key in rows[0] if rows[0][key] != rows[1][key]} <= distances
    pictures = [
        (done.folder / "pictures" / row["name"] / "dragged.png").read_bytes()
        for done, row in zip((own, others), rows, strict=True)
    ]
    assert pictures[0] == pictures[1]
    assert run("n=1", "features.teacher=nowhere", "out=no").sentence.startswith("error: ")


def test_items_of_another_root_are_others_though_their_names_are_the_same(
    run, published: Path, tmp_path: Path
) -> None:
    arguments = "data=dragbench_d", "n=null", "use_lora=false"
    first = run(*arguments, f"root={published}")
    other = Path(shutil.copytree(published, tmp_path / "other"))
    changed = other / "b" / "x" / "original_image.png"
    ImageOps.invert(Image.open(changed).convert("RGB")).save(changed)
    before = stamps(first.folder)
    again = run(*arguments, f"root={other}")
    assert again.folder == first.folder and "1 of 3 items are finished already" in again.err
    after = {path for path, time in stamps(again.folder).items() if time != before[path]}
    assert after == {"items/b/x.json", "items/a/y.json"}  # and the broken one is tried again


def test_of_broken_items_alone_nothing_is_measured(run, published: Path) -> None:
    done = run("data=dragbench_d", f"root={published / 'a' / 'y'}", "n=null", "lora.steps=1")
    assert done.code == 2
    assert done.sentence.startswith("error: data: none of 1 items could be dragged, for ")
    assert "(24, 99) is outside the picture" in done.sentence


def test_two_processes_make_the_same_table(pocket, tmp_path: Path, repository: Path, run) -> None:
    """By torchrun as a user types it, and without it."""
    script = [str(repository / "scripts" / "drag_bench.py"), "teacher.device=cpu"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, *script, *settings(("out=two", "lora_dir=loras"))],
        env={**os.environ, "I2I_DDS_POCKET": str(pocket)},
        **{"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 280},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "two")]
    assert "2/2" in done.stderr  # of three items, the first process's share
    one, two = run("out=one").folder, tmp_path / "two"
    assert (one / "rows.csv").read_bytes() == (two / "rows.csv").read_bytes()
    found = [
        {key: value for key, value in metrics(folder).items() if key not in TIMES}
        for folder in (one, two)
    ]
    assert found[0] == found[1] and found[0]["n"] == 3
    assert {path.name for path in two.iterdir()} == FILES


def test_threads_are_as_told_while_it_runs(run, monkeypatch) -> None:
    from i2i_dds.research.drag_benchmark import DragBenchmark

    told, before = [], torch.get_num_threads()

    def summarize(bench: DragBenchmark, names: list[str]) -> dict[str, float]:
        told.append(torch.get_num_threads())
        return {}

    monkeypatch.setattr(DragBenchmark, "summarize", summarize)
    run("n=1", "use_lora=false", "threads=3")
    assert told == [3] and torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data=dragbench",), "data: 'dragbench' is not allowed (did you mean 'dragbench_s'?); "),
        (("data=dragbench_s", "root=nowhere"), "root: 'nowhere' is not a folder; give one that"),
        (("data=dragbench_s", "root=."), "root: '.' holds no item; an item's folder has either"),
        (("n=0",), "n: 0 is not allowed; give a whole number of at least 1, or null"),
        (("kinds=[head,tail]",), "kinds: ['head', 'tail'] is not allowed; give one of head, acc"),
        (("split=dev",), "split: 'dev' is not allowed; give one of train, val, test"),
        (("size=30",), "size: 30 is not allowed; give one side, a multiple of 4"),
        (("threads=0",), "threads: 0 is not allowed; give a whole number of at least 1"),
        (("strength=0",), "strength: 0 is not allowed; give a number of at most 1 above 0"),
        (("steps=1001",), "steps: 1001 is not allowed; give 1 to 1000"),
        (("steps=0",), "steps: 0 is not allowed; give a whole number of at least 1"),
        (("sampler=ddim",), "sampler: 'ddim' is not allowed; give one of cycle_sde, sde, ode"),
        (("features.block=2",), "features.block: 2 is not allowed; give 0 to 1, which this"),
        (("features.t=1000",), "features.t: 1000 is not allowed; give 0 to 999, which this"),
        (("features.teacher=nowhere",), "features.teacher: 'nowhere' holds no model_index.json"),
        (("lora_high=-1",), "lora_high: -1 is not allowed; give a number of at least 0"),
        (("features.num_noise=2",), "features.num_noise: no such key"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


def test_help_says_what_it_is(run) -> None:
    done = run("--help")
    assert done.code == 0 and "Drags every item of a benchmark and measures" in done.out
    assert "data=dragbench_d" in done.out and "regiondrag_side: null" in done.out
