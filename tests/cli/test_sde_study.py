import csv
import json

import pytest
from PIL import Image

from i2i_dds.cli.sde_study import main


@pytest.fixture
def run(typed, repository):
    clip = repository / "src" / "i2i_dds" / "pocket" / "clip"
    return lambda *arguments: typed(main, f"clip={clip}", *arguments)


def table(folder):
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_inpainting_has_a_row_for_each_hole_sampler_and_number_of_steps(run):
    settings = ("n=3", "steps=[1,2]", "ratios=[0.25,0.5]")
    folder = run("study=inpainting", *settings).folder
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


def test_translation_gives_each_editor_the_samplers_it_knows(run):
    folder = run("study=translation", "n=2", "steps=2", "t0=[0.5,1.0]").folder
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


def test_dragging_varies_one_setting_at_a_time(run):
    settings = ("n=2", "n_sensitivity=1", "steps=4", "use_lora=false", "kinds=[head]")
    values = {"radius": "[1,2]", "t0": "[0.5]", "alpha": "[]", "beta": "[]"}
    values |= {"drag_step": "[]", "steps": "[]"}
    varied = [f"sensitivity.{key}={value}" for key, value in values.items()]
    folder = run("study=dragging", *settings, *varied).folder
    rows = table(folder)
    assert [(row["varied"], row["value"], row["n"]) for row in rows] == [
        ("sampler", "cycle_sde", "2"), ("sampler", "sde", "2"), ("sampler", "ode", "2"),
        ("radius", "1", "1"), ("radius", "2", "1"), ("t0", "0.5", "1"),
    ]  # fmt: skip
    assert all(row["outside_equal"] == "1.0" for row in rows)
    assert Image.open(folder / "dragging.png").width > 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "study: no choice is made; give study=<choice>, one of"),
        (("study=cosine",), "study: 'cosine' is one of scripts/analyse.py; give one of inpainting"),
        (("study=inpainting", "samplers=[cycle_sde]"), "samplers: ['cycle_sde'] is not allowed"),
        (("study=inpainting", "ratios=[0]"), "ratios: [0] is not allowed; give a number"),
        (("study=translation", "t0=[1.5]"), "t0: [1.5] is not allowed"),
        (("study=translation", "samplers=cycle_sde", "editors=sdedit"), "samplers: sdedit has no"),
        (
            ("study=dragging", "+sensitivity.colour=[1]", "use_lora=false"),
            "sensitivity.colour: no",
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
def test_mistakes_end_in_one_sentence(run, tmp_path, arguments, message):
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")
    assert not list(tmp_path.glob("outputs/sde_study/*"))
