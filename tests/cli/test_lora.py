import csv
import json
from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image

from i2i_dds.cli.lora import main
from i2i_dds.critters import render, scenes

FILES = {"comparison.png", "losses.csv", "pytorch_lora_weights.safetensors", "result.json"}
FAST = {"steps": 2, "draws": 2, "sample_steps": 4}
IMAGE = ("image=cat.png", "prompt=a cat, smiling")


@pytest.fixture
def run(typed, tmp_path: Path):
    """The command, typed beside a picture; few steps unless told otherwise."""
    (scene,) = scenes("test", 1, species="cat")
    render(scene, 32).save(tmp_path / "cat.png")

    def run(*arguments: str) -> Any:
        given = {argument.partition("=")[0] for argument in arguments}
        fast = [f"{key}={value}" for key, value in FAST.items() if key not in given]
        return typed(main, *fast, *arguments)

    return run


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def test_a_picture_is_learned_once(run, pocket, tmp_path) -> None:
    done = run(*IMAGE, "rank=3", "lr=1e-2", "steps=3")
    folder, found = done.folder, result(done.folder)
    assert len(done.out.splitlines()) == 1 and "LoRA, 3 steps" in done.err
    assert {path.name for path in folder.iterdir()} == FILES
    assert found["prompt"] == "a cat, smiling" and found["file"] == "cat.png"
    assert not found["reused"] and found["seconds"] > 0
    assert found["loss_after"] != found["loss_before"] and found["psnr_with"] > 0
    settings = found["settings"]
    assert (settings["rank"], settings["steps"], settings["lr"]) == (3, 3, 0.01)
    with (folder / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3"] and float(rows[0]["loss"]) > 0
    assert Image.open(folder / "comparison.png").width == 5 * (144 + 6) + 6
    pipe = StableDiffusionPipeline.from_pretrained(pocket / "teacher", local_files_only=True)
    pipe.load_lora_weights(str(folder))
    assert len(pipe.get_active_adapters()) == 1

    again = run(*IMAGE, "rank=3", "lr=1e-2", "steps=3", "paths.suffix=-again")
    assert "reusing" in again.err and "LoRA, 3 steps" not in again.err
    second = result(again.folder)
    assert second["reused"] and second["kept"] == found["kept"]
    assert all(second[key] == found[key] for key in ("loss_before", "loss_after", "psnr_with"))
    weights = [path / "pytorch_lora_weights.safetensors" for path in (folder, again.folder)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert len(list((tmp_path / "outputs" / "loras").iterdir())) == 2  # the weights, and the words


def test_without_a_picture_a_critter_is_learned(run) -> None:
    found = result(run("split=val", "seed=2").folder)
    assert found["file"] == "val-2-0000000" and found["prompt"]
    assert found["width"] == found["height"] == 32  # what the teacher is for
    assert found["settings"]["lr"] > 2e-4  # the pocket teacher's own


def test_other_teachers_take_the_papers_numbers(run, pocket) -> None:
    done = run("teacher=sd15", f"teacher.path={pocket / 'teacher'}", *IMAGE)
    settings = result(done.folder)["settings"]
    assert (settings["rank"], settings["lr"]) == (4, 2e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (IMAGE[:1], "prompt: none is given; give what the picture shows"),
        (IMAGE[1:], "prompt: 'a cat, smiling' goes with image=<picture>"),
        (("image=none.png", IMAGE[1]), "image: 'none.png' does not exist; give"),
        ((*IMAGE, "size=33"), "size: 33 is not allowed; give positive multiples of 4"),
        (("size=30",), "size: 30 is not allowed; give positive multiples of 4"),
        (("rank=0",), "rank: 0 is not allowed; give a whole number of at least 1"),
        (("steps=many",), "steps: 'many' is not allowed; give a whole number of at least 1"),
        (("lr=-1",), "lr: -1 is not allowed; give a number above 0"),
        (
            ("lora.batch_size=0",),
            "lora.batch_size: 0 is not allowed; give a whole number of at least 1",
        ),
        (("lora.targets=[nothing]",), "lora.targets: ['nothing'] match no layer"),
        (("seed=-1",), "seed: -1 is not allowed; give a whole number of at least 0"),
        (("sample_steps=1001",), "sample_steps: 1001 is not allowed; give 1 to 1000"),
        (("strength=2",), "strength: 2 is not allowed; give a number of at most 1 above 0"),
        (("rnak=4",), "rnak: no such key (did you mean 'rank'?)"),
        (("lora=none",), "lora: 'none' is not among its choices; give one of default"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")
    assert not list(tmp_path.glob("outputs/lora*/*"))
