import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

METRICS = {
    *("n", "success", "psnr_truth", "psnr_truth_source", "psnr_truth_gain", "psnr_backdrop"),
    *("sharpness", "sharpness_source", "seconds_per_image", "nonfinite"),
}


IMAGE = ("image=photos", "prompt.target=a lion")


@pytest.fixture
def run(edit):
    return edit


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_without_arguments_critters_are_edited(run) -> None:
    done = run()
    folder = done.folder
    assert len(done.out.splitlines()) == 1 and "Editing 4" in done.err
    names = {path.name for path in folder.iterdir()}
    assert names == {"edited", "comparison.png", "trajectory.csv", "rows.csv", "metrics.json",
                     "result.json"}  # fmt: skip
    assert len(list((folder / "edited").glob("cat2lion-test-0-*.png"))) == 4
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics) >= METRICS and metrics["n"] == 4 and metrics["nonfinite"] == 0
    assert None not in metrics.values()
    gain = metrics["psnr_truth"] - metrics["psnr_truth_source"]
    assert metrics["psnr_truth_gain"] == pytest.approx(gain)
    result = json.loads((folder / "result.json").read_text())
    assert result["metrics"] == metrics
    assert result["evaluations"] == 4 * 4 * 2  # two branches, with and without prompt, two steps
    assert result["config"]["steps"] == 2 and result["config"]["editor"]["steps"] == 2
    assert result["config"]["guidance_scale"] == 3.0  # the pocket teacher's own
    assert "cat" in result["items"][0]["source"] and "lion" in result["items"][0]["target"]
    assert len(table(folder / "rows.csv")) == 4
    # source, edit, difference, truth
    assert Image.open(folder / "comparison.png").width == 4 * (144 + 6) + 6


def test_the_command_as_typed_on_a_set_of_tasks(run, pocket, tmp_path, repository) -> None:
    command = [sys.executable, str(repository / "scripts" / "edit.py"), "source=critters"]
    command += ["task=animals", "split=test", "n=2", "seed=3", "steps=1", "batch_size=3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.splitlines()[-1]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["n"] == 8
    assert list(metrics["tasks"]) == ["cat2lion", "cat2dog", "cat2tiger", "dog2fox"]
    assert all(part["n"] == 2 for part in metrics["tasks"].values())


def test_pictures_times_targets_in_one_batch(run, tmp_path) -> None:
    target = "prompt.target=[a lion,a tiger]"
    prompts = "prompt.source=a cat, smiling", target
    folder = run("image=photos", *prompts, "seed=1", "timesteps=uniform").folder
    names = ["cat0-1", "cat0-2", "cat1-1", "cat1-2"]
    assert sorted(path.stem for path in (folder / "edited").iterdir()) == names
    result = json.loads((folder / "result.json").read_text())
    assert [item["name"] for item in result["items"]] == names
    assert [item["target"] for item in result["items"]] == ["a lion", "a tiger"] * 2
    assert {item["source"] for item in result["items"]} == {"a cat, smiling"}
    assert result["items"][0]["file"] == "photos/cat0.png"
    assert not (folder / "metrics.json").exists()
    rows = table(folder / "trajectory.csv")
    assert [row["step"] for row in rows] == ["1"] * 4 + ["2"] * 4
    assert all(float(row["distance"]) > 0 and float(row["gradient_norm"]) > 0 for row in rows)
    assert rows[0]["t"] == rows[1]["t"] != rows[2]["t"]  # a picture's targets share its noise
    assert rows[-1]["batch_nonfinite"] == "0"


def test_a_picture_of_a_long_name_is_edited(run, tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat0.png").rename(tmp_path / "photos" / ("a_lion_" * 34 + ".png"))
    folder = run("image=photos", "prompt.target=[a lion,a tiger]", "steps=1").folder
    names = sorted(path.name for path in (folder / "edited").iterdir())
    assert len(names) == 4 and names[0].startswith("a_lion_a_lion_") and names[0].endswith("-1.png")


def test_results_do_not_depend_on_the_batch_size(run) -> None:
    arguments = "image=photos", "prompt.target=a lion", "prompt.source=a cat", "steps=3"
    together = run(*arguments, "paths.suffix=-a").folder
    alone = run(*arguments, "batch_size=1", "paths.suffix=-b").folder
    single = run(*arguments[1:], "image=photos/cat1.png", "paths.suffix=-c").folder
    for folder, names in ((alone, ("cat0", "cat1")), (single, ("cat1",))):
        for name in names:
            rows = [row for row in table(folder / "trajectory.csv") if row["name"] == name]
            expected = [row for row in table(together / "trajectory.csv") if row["name"] == name]
            for row, other in zip(rows, expected, strict=True):
                assert row["t"] == other["t"]
                assert float(row["distance"]) == pytest.approx(float(other["distance"]), abs=1e-4)
            assert len(rows) == 3


def test_mask_animation_and_sds(run, tmp_path) -> None:
    mask = Image.new("L", (32, 32), 0)
    mask.paste(255, (0, 0, 16, 32))
    mask.save(tmp_path / "mask.png")
    folder = run("image=photos/cat0.png", "prompt.target=a lion", "mask=mask.png", "score=sds",
            "animation=true", "steps=3").folder  # fmt: skip
    assert Image.open(folder / "comparison.png").width == 4 * (144 + 6) + 6
    with Image.open(folder / "animation" / "cat0.gif") as animation:
        assert animation.n_frames == 4
    result = json.loads((folder / "result.json").read_text())
    assert result["config"]["score"]["_target_"] == "i2i_dds.scores.sds.SDS"
    assert result["evaluations"] == 3 * 2


def test_sds_held_to_the_source_strays_less(run) -> None:
    arguments = *IMAGE, "steps=4", "lr=0.5"
    rows = [
        table(run(*arguments, f"score={score}", f"paths.suffix=-{i}").folder / "trajectory.csv")
        for i, score in enumerate(["sds", "sds_l2"])
    ]
    free, held = ([float(row["distance"]) for row in table[-2:]] for table in rows)
    assert all(a > b > 0 for a, b in zip(free, held, strict=True))


def test_cds_from_command_to_pictures(run) -> None:
    result, free = (
        json.loads((run(*IMAGE, *settings).folder / "result.json").read_text())
        for settings in (
            ("score=cds", "score.lambda_contrastive=0.5", "score.blocks=all", "paths.suffix=-cds"),
            ("score=dds",),
        )
    )
    # Of both branches without prompt, of the target with one, for the source has none; and both
    # once more, for the attention.
    assert (result["evaluations"], free["evaluations"]) == (2 * 2 * (3 + 2), 2 * 2 * 3)
    assert result["nonfinite"] == 0
    for item, other in zip(result["items"], free["items"], strict=True):
        assert item["distance"] != pytest.approx(other["distance"], rel=1e-3)


@pytest.mark.parametrize(
    ("score", "asked"), [("pds", 3), ("ids", 3 * 2 + 3), ("ssd", 3), ("lusd", 2.5)]
)
def test_relatives_of_dds_from_command_to_pictures(run, score, asked) -> None:
    """What each asks for a picture in a step; LUSD's first step does without attention."""
    folder = run(*IMAGE, f"score={score}", "score.threshold=0" if score == "lusd" else "seed=1")
    result = json.loads((folder.folder / "result.json").read_text())
    assert result["evaluations"] == 2 * 2 * asked
    assert result["nonfinite"] == 0
    assert all(item["distance"] > 0 for item in result["items"])


def test_pictures_stop_early_each_when_it_is_done(run) -> None:
    arguments = *IMAGE, "score=sds", "steps=40", "editor.stop.window=5", "early_stop=0.5"
    whole = run(*arguments, "early_stop=null", "paths.suffix=-whole").folder
    taken = []
    for suffix in ("a", "b"):
        batch = 1 if suffix == "b" else 8
        folder = run(*arguments, f"batch_size={batch}", f"paths.suffix=-{suffix}").folder
        result = json.loads((folder / "result.json").read_text())
        taken.append([item["steps"] for item in result["items"]])
        rows = table(folder / "trajectory.csv")
        for item in result["items"]:
            steps = [int(row["step"]) for row in rows if row["name"] == item["name"]]
            assert steps == list(range(1, item["steps"] + 1))
    assert taken[0] == taken[1] and 6 <= min(taken[0]) < 40
    assert [row["step"] for row in table(whole / "trajectory.csv")][-2:] == ["40", "40"]


@pytest.mark.parametrize("name", ["descending", "stratified", "low_variance"])
def test_timesteps_by_name(run, name) -> None:
    chosen = f"timesteps={name}", "steps=10", "t_min=100", "t_max=200"
    folder = run("image=photos/cat0.png", IMAGE[1], *chosen).folder
    t = [int(row["t"]) for row in table(folder / "trajectory.csv")]
    if name != "low_variance":
        assert sorted((value - 100) // 10 for value in t) == list(range(10))
    assert len(set(t)) == 10 and all(100 <= value < 200 for value in t)
    config = json.loads((folder / "result.json").read_text())["config"]
    assert config["editor"]["timesteps"]["t_max"] == 200


@pytest.mark.parametrize(
    ("editor", "rows"),
    [  # rows of the network for an item: branches, each with and without its prompt, by steps
        (("inversion",), 4 * 2),
        (("inversion", "sampler=ode"), (1 + 2) * 2),
        (("sdedit", "sampler=sde"), 2 * 2),
        (("inpaint", "mask=scene", "strength"), 2 * 4),
        (("diffedit",), 4 * 2 + 4 * 10),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_every_editor_from_command_to_pictures(run, editor, rows) -> None:
    settings = ["strength=0.5"] if "strength" not in editor else []
    arguments = [argument for argument in editor[1:] if argument != "strength"]
    done = run(f"editor={editor[0]}", *arguments, *settings, "steps=4", "n=2", "animation=true")
    result = json.loads((done.folder / "result.json").read_text())
    assert result["evaluations"] == 2 * rows
    assert set(result["metrics"]) >= METRICS
    assert len(list((done.folder / "animation").iterdir())) == 2
    if editor[0] == "diffedit":
        for name in ("mask", "strength"):
            pictures = sorted((done.folder / name).iterdir())
            assert len(pictures) == 2 and Image.open(pictures[0]).mode == "L"
        shares = [item["mask_share"] for item in result["items"]]
        white = [np.asarray(Image.open(path)).mean() / 255 for path in
                 sorted((done.folder / "mask").iterdir())]  # fmt: skip
        assert shares == pytest.approx(white) and 0 < min(shares) < 1


@pytest.mark.parametrize("editor", ["zero_shot", "inpaint"])
def test_an_empty_mask_holds_nothing_back_and_that_is_said(run, tmp_path, editor: str) -> None:
    Image.new("L", (32, 32), 0).save(tmp_path / "empty.png")
    Image.new("L", (32, 32), 255).save(tmp_path / "full.png")
    done = {
        name: run(*IMAGE, f"editor={editor}", f"mask={name}.png", f"paths.suffix=-{name}")
        for name in ("empty", "full")
    }
    note = "mask: all of 'empty.png' is black, so everything may change"
    assert note in done["empty"].err and note not in done["full"].err
    assert "mask: 'full.png' lets 100 % of the picture change" in done["full"].err
    edits = [next((one.folder / "edited").iterdir()).read_bytes() for one in done.values()]
    assert edits[0] == edits[1]
    result = json.loads((done["empty"].folder / "result.json").read_text())
    assert result["items"][0]["distance"] > 0


def test_that_no_mask_is_found_is_said(run) -> None:
    same = "prompt.source=a cat", "prompt.target=a cat"
    done = run("image=photos/cat0.png", *same, "mask=auto", "automask.num_noise=1")
    assert "mask: none was found for 'cat0', which stays as it is" in done.err


def test_dds_in_a_mask_that_it_finds(run) -> None:
    folder = run("n=2", "mask=auto", "automask.threshold=0.9", "automask.num_noise=1").folder
    result = json.loads((folder / "result.json").read_text())
    assert all(0 < item["mask_share"] < 0.5 for item in result["items"])
    # source, edit, difference, mask, truth
    assert Image.open(folder / "comparison.png").width == 5 * (144 + 6) + 6


def test_the_scenes_own_mask(run) -> None:
    free = run("n=2", "paths.suffix=-free", "guidance_scale=50").folder
    held = run("n=2", "paths.suffix=-held", "guidance_scale=50", "mask=scene").folder
    moved = [float(table(folder / "trajectory.csv")[-1]["distance"]) for folder in (free, held)]
    assert 0 < moved[1] < moved[0]


def test_sizes_as_told(run, tmp_path) -> None:
    Image.new("RGB", (45, 38), "red").save(tmp_path / "odd.png")
    arguments = "image=odd.png", "prompt.target=a lion"
    assert run(*arguments, "fit=error").code == 2
    own = run(*arguments).folder  # edited at 44x40, and brought back
    assert Image.open(own / "edited" / "odd.png").size == (45, 38)
    for name, size in (("resize", (44, 40)), ("crop", (44, 36))):
        folder = run(*arguments, f"fit={name}", f"paths.suffix=-{name}").folder
        assert Image.open(folder / "edited" / "odd.png").size == size
    folder = run(*arguments, "fit=crop", "size=[32,24]").folder
    assert Image.open(folder / "edited" / "odd.png").size == (32, 24)


def test_other_teachers_take_the_papers_numbers(run, pocket) -> None:
    folder = run("teacher=sd15", f"teacher.path={pocket / 'teacher'}", "n=1").folder
    config = json.loads((folder / "result.json").read_text())["config"]
    assert (config["lr"], config["guidance_scale"]) == (0.0488, 7.5)
    assert config["editor"]["timesteps"]["t_min"] == 50
    assert config["automask"]["threshold"] == 0.5


def test_the_pockets_numbers_with_another_model_are_said(run, pocket) -> None:
    own = run("n=1", "paths.suffix=-own")
    other = run("n=1", f"teacher.path={pocket / 'teacher'}")
    assert "teacher.path: all settings stay those of the pocket teacher" in other.err
    assert "teacher.path" not in own.err
    config = json.loads((own.folder / "result.json").read_text())["config"]
    assert config["lr"] == 0.15 and config["automask"]["threshold"] == 0.3
