"""Every study of the delta from the command to its table and figure, at tiny size."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.cli.analyse import main

DESCENTS = {
    "bad_direction": ["SDS", "SDS, guidance 1", "DDS"],
    "iterations": ["DDS", "DDS, early stop", "SDS"],
    "guidance": ["guidance 1", "guidance 2", "guidance 3", "guidance 5", "guidance 7.5"],
    "optimizer": ["plain descent", "momentum 0.9", "Adam, step 0.01", "Adam, step 0.03"],
    "prompts": ["right", "empty", "another scene"],
    "timesteps": ["uniform", "descending", "stratified", "low variance"],
    "noise": ["shared", "independent"],
}


@pytest.fixture
def run(typed):
    return lambda *arguments: typed(main, "setting=quick", "seeds=[0,1]", *arguments)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("study", DESCENTS)
def test_a_descent_study_has_a_line_for_each_variant_and_iteration(run, study: str) -> None:
    folder = run(f"study={study}", "at=[0,1,3]").folder
    lines = table(folder)
    wanted = [(name, count) for name in DESCENTS[study] for count in ("0", "1", "3")]
    assert [(line["variant"], line["iteration"]) for line in lines] == wanted
    assert {line["seeds"] for line in lines} == {"2"}
    first = {(line["drift"], line["psnr_truth"]) for line in lines if line["iteration"] == "0"}
    assert len(first) == 1 and next(iter(first))[0] == "0.0"  # nothing is edited yet
    last = [line for line in lines if line["iteration"] == "3"]
    moved = [float(line["drift"]) for line in last]
    assert all(value > 0 for value in moved) or study == "bad_direction"
    assert len(set(moved)) == len(moved) or study in ("iterations", "bad_direction")
    probed = study == "iterations"
    assert all((line["delta_loss"] != "") == probed for line in lines)
    assert Image.open(folder / f"{study}.png").width > 400
    assert Image.open(folder / "pictures.png").width > 300
    result = json.loads((folder / "result.json").read_text())
    assert len(result["lines"]) == len(lines) and result["config"]["seeds"] == [0, 1]
    assert len((folder / "table.md").read_text().splitlines()) == 2 + len(lines)


def test_asked_for_what_is_there_dds_stays_and_sds_does_not(run) -> None:
    lines = table(run("study=bad_direction", "at=[4]").folder)
    drift = {line["variant"]: float(line["drift"]) for line in lines}
    assert drift["DDS"] == 0 and min(drift["SDS"], drift["SDS, guidance 1"]) > 0


def test_early_stop_takes_fewer_steps(run) -> None:
    lines = table(run("study=iterations", "at=[24]", "probe=false", "least=0.99").folder)
    taken = {line["variant"]: float(line["steps_taken"]) for line in lines}
    assert taken["DDS"] == 24 and taken["DDS, early stop"] < 24


def test_cosine_and_gradients_have_lines_over_timesteps(run) -> None:
    lines = table(run("study=cosine").folder)
    assert [line["t"] for line in lines if line["pair"] == "truth"] == ["200", "800"]
    assert len(lines) == 8 and all(abs(float(line["cosine"])) <= 1 for line in lines)
    lines = table(run("study=gradients").folder)
    curves = ["dds after 0", "sds after 0", "dds after 2", "sds after 2"]
    assert sorted((line["curve"], line["t"]) for line in lines) == sorted(
        (curve, t) for curve in curves for t in ("200", "800")
    )
    assert all(float(line["norm"]) > 0 and float(line["between"]) >= 0 for line in lines)


def test_students_are_trained_once_and_then_only_read(run, pocket, monkeypatch) -> None:
    monkeypatch.setenv("I2I_DDS_POCKET", str(pocket))
    few = [
        *("data.n_train=8", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"),
        *("data.eval_batch_size=2", "callbacks.pictures.n=2", "zero_shot.steps=2", "final.n=3"),
        *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
        "student.unet.attention_head_dim=1",
    ]
    shared = ",".join(f"'{part}'" for part in few)
    settled = ("study=student", "seeds=[3]", "folder=kept", "max_steps=1", "n=2", "pictures=40")
    arguments = (
        *settled,
        f"shared=[{shared}]",
        "only=[SDS,drawn by the teacher,'four tasks, one network']",
    )
    folder = run(*arguments).folder
    lines = table(folder)
    assert [line["variant"] for line in lines] == [
        *("SDS", "drawn by the teacher", "four tasks, one network"),
    ]
    kept = Path("kept")
    first = json.loads((kept / "SDS-seed3" / "metrics.json").read_text())
    assert float(lines[0]["psnr_truth"]) == first["psnr_truth"] and first["steps"] == 1
    assert first["n"] == 3 and first["split"] == "test"
    config = json.loads((kept / "SDS-seed3" / "config.json").read_text())
    assert config["score"]["_target_"].endswith("SDS") and config["seed"] == 3
    four = json.loads((kept / "four_tasks_one_network-seed3" / "metrics.json").read_text())
    assert float(lines[2]["psnr_truth"]) == four["tasks"]["cat2lion"]["psnr_truth"]
    assert lines[2]["collapse"] == "" and four["steps"] == 3
    drawn = json.loads((kept / "drawn_by_the_teacher-seed3" / "config.json").read_text())
    assert drawn["data"]["folder"] == str(kept / "shards")
    stamps = {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file()}
    again = run(*arguments).folder
    assert again != folder and table(again) == lines
    assert stamps == {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file()}
    refused = run(*arguments, "n=4", "max_steps=2")
    assert refused.code == 2 and "trainer.max_steps: '2' is not allowed here" in refused.sentence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "study: no choice is made; give study=<choice>, one of"),
        (("study=inpainting",), "study: 'inpainting' is one of scripts/sde_study.py; give one of"),
        (("study=cosine", "n=1"), "n: 1 is not allowed; give a whole number of at least 2"),
        (("study=cosine", "setting=slow"), "setting: 'slow' is not allowed; give one of full, q"),
        (("study=cosine", "t=[1000]"), "t: [1000] is not allowed; give a whole"),
        (("study=guidance", "at=[-1]"), "at: [-1] is not allowed; give a whole number of at lea"),
        (("study=prompts", "variants.right.source=none"), "source: 'none' is not allowed; give"),
        (("study=noise", "only=[none]"), "only: 'none' is not allowed; give some of shared, ind"),
        (
            ("study=student", "task=smile2frown"),
            "task: 'smile2frown' is not allowed, for 'four tasks, one network' learns cat2lion, ",
        ),
        (
            ("study=iterations", "measures=[success,sucess]"),
            "measures: 'sucess' is not allowed; give some of success, ",
        ),
        (("study=student", "measures=[drift]"), "measures: 'drift' is not allowed; give some of"),
        (("study=guidance", "steps=200"), "steps: no such key"),
        (
            ("study=student", "guidance=2"),
            "guidance: study=student trains, and does not read it; "
            "give \"shared=['guidance.end=2']\"",
        ),
        (
            ("study=student", "task.tasks.cat2lion.instruction=roar"),
            "task.tasks.cat2lion.instruction: study=student gives train.py the task's name alone",
        ),
        (("study=student", "max_steps=0"), "max_steps: 0 is not allowed; give a whole number"),
    ],
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")
    assert not list(tmp_path.glob("outputs/analyse/*"))
