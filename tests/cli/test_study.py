"""Every study of the delta from the command to its table and figure, at tiny size."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.cli.study import main
from i2i_dds.cli.train import main as train
from i2i_dds.research.studies.students import call_runs

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


@pytest.fixture
def run_samplers(typed, repository):
    clip = repository / "src" / "i2i_dds" / "pocket" / "clip"
    return lambda *arguments: typed(main, f"clip={clip}", *arguments)


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


FEW = (
    *("data.n_train=8", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"),
    *("data.eval_batch_size=2", "callbacks.pictures.n=2", "zero_shot.steps=2", "final.n=3"),
    *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    *("student.unet.attention_head_dim=1", "trainer.max_steps=1"),
)


def test_the_student_study_reads_trainings_and_calls_them_after_what_differs(typed) -> None:
    sweep = typed(train, "task=cat2lion,animals", "score=sds", "seed=3", *FEW, "-m")
    assert sweep.code == 0
    typed(train, "task=cat2lion", "seed=3", "hydra.run.dir=multirun/plain", *FEW)
    typed(train, "task=cat2lion", "seed=4", "hydra.run.dir=multirun/again", *FEW)
    lines = table(typed(main, "study=student", "runs=multirun").folder)
    found = {line["variant"]: line for line in lines}
    assert set(found) == {"task=cat2lion", "task=cat2lion, score=sds", "task=animals, score=sds"}
    assert found["task=cat2lion"]["seeds"] == "2"
    plain, again = (
        json.loads(Path("multirun", name, "metrics.json").read_text())["psnr_truth"]
        for name in ("plain", "again")
    )
    assert float(found["task=cat2lion"]["psnr_truth"]) == pytest.approx((plain + again) / 2)
    assert found["task=animals, score=sds"]["collapse"] == ""  # of one task among several
    refused = typed(main, "study=student", "runs=multirun", "task=smile2frown")
    assert refused.code == 2 and "task: 'smile2frown' is not allowed, for the run" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study=student", "measures=[drift]"), "measures: 'drift' is not allowed; give some of"),
        (("study=student",), "runs: none are given; give folders of train.py's runs"),
        (("study=student", "runs=."), "runs: '.' holds no finished run of train.py; give one"),
        (("study=student", "shared=[a=1]"), "shared: no such key any more; train with train.py"),
    ],
)
def test_mistakes_of_the_student_study_end_in_one_sentence(typed, arguments, message: str) -> None:
    done = typed(main, *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")


def test_a_run_is_called_after_what_was_typed_for_it_and_not_for_all() -> None:
    typed = [["task=a", "seed=0"], ["task=a", "score=sds", "seed=1"], ["task=a", "paths.x=y"]]
    assert call_runs(typed) == ["as shipped", "score=sds", "as shipped"]
    assert call_runs([["task=a", "seed=0"]]) == ["task=a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "study: no choice is made; give study=<choice>, one of"),
        (("study=cosine", "n=1"), "n: 1 is not allowed; give a whole number of at least 2"),
        (("study=cosine", "setting=slow"), "setting: 'slow' is not allowed; give one of full, q"),
        (("study=cosine", "t=[1000]"), "t: [1000] is not allowed; give a whole"),
        (("study=guidance", "at=[-1]"), "at: [-1] is not allowed; give a whole number of at lea"),
        (
            ("study=prompts", "variants.right.source=none"),
            "variants.right.source: no such key any m",
        ),
        (("study=noise", "only=[none]"), "only: 'none' is not allowed; give some of shared, ind"),
        (
            ("study=iterations", "measures=[success,sucess]"),
            "measures: 'sucess' is not allowed; give some of success, ",
        ),
        (("study=guidance", "steps=200"), "steps: no such key"),
    ],
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")
    assert not list(tmp_path.glob("outputs/study/*"))


def test_inpainting_has_a_row_for_each_hole_sampler_and_number_of_steps(run_samplers):
    settings = ("n=3", "steps=[1,2]", "ratios=[0.25,0.5]")
    folder = run_samplers("study=inpainting", *settings).folder
    rows = table(folder)
    assert [(row["ratio"], row["sampler"], row["steps"]) for row in rows] == [
        ("0.0", "reconstruction", "0"),
        *((ratio, sampler, steps) for ratio in ("0.25", "0.5") for sampler in ("sde", "ode")
          for steps in ("1", "2")),
    ]  # fmt: skip
    # guidance 1 asks the network once a step
    assert [row["evaluations_per_image"] for row in rows[1:3]] == ["1.0", "2.0"]
    assert all(float(row["fid"]) > 0 and float(row["distance"]) > 0 for row in rows)
    assert len((folder / "table.md").read_text().splitlines()) == 2 + len(rows)
    assert Image.open(folder / "inpainting.png").width > 400
    assert len(list((folder / "pictures").iterdir())) == 8


def test_translation_gives_each_editor_the_samplers_it_knows(run_samplers):
    folder = run_samplers("study=translation", "n=2", "steps=2", "strength=[0.5,1.0]").folder
    rows = table(folder)
    assert [(row["editor"], row["sampler"]) for row in rows[::2]] == [
        ("sdedit", "sde"), ("sdedit", "ode"),
        ("diffedit", "sde"), ("diffedit", "ode"), ("diffedit", "cycle_sde"),
    ]  # fmt: skip
    result = json.loads((folder / "result.json").read_text())
    assert result["rows"][0]["n"] == 2 and result["config"]["threshold"] == 0.3
    gain = result["rows"][0]["psnr_truth"] - result["rows"][0]["psnr_truth_source"]
    assert result["rows"][0]["psnr_truth_gain"] == pytest.approx(gain)
    for name in ("success", "clip", "clip_direction", "fid", "distance", "psnr_backdrop"):
        assert all(row[name] != "" for row in rows)
    assert Image.open(folder / "translation.png").width > 400


def test_dragging_varies_one_setting_at_a_time(run_samplers):
    settings = ("n=2", "n_sensitivity=1", "steps=4", "use_lora=false", "kinds=[head]")
    values = {"radius": "[1,2]", "strength": "[0.5]", "alpha": "[]", "beta": "[]"}
    values |= {"drag_step": "[]", "steps": "[]"}
    varied = [f"sensitivity.{key}={value}" for key, value in values.items()]
    folder = run_samplers("study=dragging", *settings, *varied).folder
    rows = table(folder)
    assert [(row["varied"], row["value"], row["n"]) for row in rows] == [
        ("sampler", "cycle_sde", "2"), ("sampler", "sde", "2"), ("sampler", "ode", "2"),
        ("radius", "1", "1"), ("radius", "2", "1"), ("strength", "0.5", "1"),
    ]  # fmt: skip
    assert all(row["outside_equal"] == "1.0" for row in rows)
    assert Image.open(folder / "dragging.png").width > 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study=inpainting", "samplers=[cycle_sde]"), "samplers: ['cycle_sde'] is not allowed"),
        (("study=inpainting", "ratios=[0]"), "ratios: [0] is not allowed; give a number"),
        (("study=translation", "strength=[1.5]"), "strength: [1.5] is not allowed"),
        (("study=translation", "samplers=cycle_sde", "editors=sdedit"), "samplers: sdedit has no"),
        (
            ("study=dragging", "+sensitivity.color=[1]", "use_lora=false"),
            "sensitivity.color: no",
        ),
        (
            ("study=dragging", "sensitivity=null", "n=2", "steps=1001", "use_lora=false"),
            "steps: 1001 is not allowed; give 1 to 1000",
        ),
        (
            ("study=dragging", "sensitivity.steps=[1001]", "use_lora=false"),
            "steps: 1001 is not allowed; give 1 to 1000",
        ),
        (("study=inpainting", "clip=nowhere"), "clip: 'nowhere' holds no CLIP; give pocket"),
    ],
)
def test_mistakes_of_sampler_studies_end_in_one_sentence(
    run_samplers, tmp_path, arguments, message
):
    done = run_samplers(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")
    assert not list(tmp_path.glob("outputs/study/*"))
