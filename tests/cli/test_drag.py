"""The command as it is typed, from a picture with handles to the files."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from i2i_dds.cli.drag import main
from i2i_dds.critters import render, scenes
from i2i_dds.data.dragbench import DragItem, load_item

FILES = {"dragged.png", "before_after.png", "animation.gif", "result.json"}
FAST = {"steps": 4, "lora.steps": 2}
WORDS = {"source": [[8, 8]], "target": [[24, 8]], "prompt": "a cat, smiling"}
POINTS = "points=[[8,8,24,8],[10,20,11,21]]"
OWN = ("image=cat.png", "prompt=a cat, smiling", POINTS)


@pytest.fixture
def run(typed, tmp_path: Path):
    """The command, typed beside a picture, its masks and an item; few steps unless told."""
    (scene,) = scenes("test", 1, species="cat")
    picture, mask = render(scene, 32), Image.new("L", (32, 32), 0)
    picture.save(tmp_path / "cat.png")
    mask.save(tmp_path / "empty.png")
    mask.paste(255, (0, 0, 32, 16))
    mask.save(tmp_path / "mask.png")
    Image.new("L", (16, 16), 255).save(tmp_path / "small.png")
    item = tmp_path / "bench" / "bear"
    item.mkdir(parents=True)
    picture.save(item / "origin_image.png")
    mask.save(item / "mask.png")
    (item / "prompt.json").write_text(json.dumps(WORDS))

    def run(*arguments: str) -> Any:
        given = {argument.partition("=")[0] for argument in arguments}
        fast = [f"{k}={v}" for k, v in FAST.items() if k not in given]
        return typed(main, *fast, *arguments)

    return run


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def frames(folder: Path) -> list[bytes]:
    with Image.open(folder / "animation.gif") as animation:
        return [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(animation)]


def test_without_arguments_a_critter_is_dragged(run) -> None:
    done = run()
    folder, found = done.folder, result(done.folder)
    assert len(done.out.splitlines()) == 1
    assert "LoRA" in done.err and "Dragging" in done.err
    assert {path.name for path in folder.iterdir()} == FILES
    assert found["name"] == "test-0-head-00000" and found["prompt"] and not found["collapsed"]
    assert not found["everything_editable"] and found["nonfinite"] == 0
    assert set(found["metrics"]) == {
        *("kind", "arrived", "arrived_source", "within_cell", "score"),
        *("psnr_truth", "psnr_truth_source"),
    }
    assert found["metrics"]["psnr_truth"] != found["metrics"]["psnr_truth_source"]
    assert found["seconds"] > 0 and found["evaluations"] > 0
    assert Path(found["lora"]["file"]).is_file() and not found["lora"]["reused"]
    assert found["config"]["radius"] == 6  # the pocket teacher's own
    assert len(frames(folder)) == found["drag_steps"] + 1
    assert Image.open(folder / "dragged.png").size == (32, 32)
    # before, after, dragged, truth
    assert Image.open(folder / "before_after.png").width == 4 * (256 + 6) + 6


def test_an_own_picture_with_points_and_mask(run) -> None:
    done = run(*OWN, "mask=mask.png", "strength=0.5", "drag_step=2", "use_lora=false")
    found = result(done.folder)
    assert {path.name for path in done.folder.iterdir()} == FILES
    assert "lora" not in found and "LoRA" not in done.err
    assert "points: pair 2 lies within one latent cell and will not move" in done.err
    assert "everything may change" not in done.err
    assert "points: pair 2 lies outside the mask, where nothing may change" in done.err
    assert "pair 1" not in done.err
    assert found["handles"] == [[[2, 2], [6, 2]], [[2, 5], [2, 5]]] and found["collapsed"] == [2]
    assert found["points"] == [[[8, 8], [24, 8]], [[10, 20], [11, 21]]]
    assert not found["everything_editable"] and found["drag_steps"] == 2
    assert "metrics" not in found and found["prompt"] == "a cat, smiling"
    picture = Image.open(done.folder / "before_after.png").convert("RGB")
    assert picture.width == 3 * (256 + 6) + 6
    # The cells' pictures begin at 6 + 262 i, 22; the handle is at 8.5 x 8 in each.
    middle = 6 + 68, 22 + 68
    marks = [picture.getpixel((middle[0] + 262 * i, middle[1])) for i in range(3)]
    assert marks[0] == marks[1] == (228, 40, 48) and marks[2] != marks[0]


def test_a_lora_is_trained_once_and_reused(run, tmp_path) -> None:
    first = run(*OWN, "strength=0.6", "paths.suffix=-a")
    again = run(*OWN, "strength=0.6", "paths.suffix=-b")
    assert result(again.folder)["lora"]["reused"] and "reusing" in again.err
    assert result(again.folder)["lora"]["file"] == result(first.folder)["lora"]["file"]
    pictures = [(done.folder / "dragged.png").read_bytes() for done in (first, again)]
    assert pictures[0] == pictures[1]
    assert len(list((tmp_path / "outputs" / "loras").glob("*.safetensors"))) == 1
    other = run(*OWN, "strength=0.6", "lora_high=0.5", "paths.suffix=-c")
    assert result(other.folder)["lora"]["reused"]
    assert (other.folder / "dragged.png").read_bytes() != pictures[0]


def test_an_items_folder_and_every_way_to_drag(run) -> None:
    pictures = set()
    ways = [(s, "simultaneous") for s in ("cycle_sde", "sde", "ode")] + [("sde", "sequential")]
    for sampler, order in ways:
        settings = f"sampler={sampler}", f"order={order}", f"paths.suffix=-{sampler}-{order}"
        done = run("item=bench/bear", "use_lora=false", "guidance_scale_end=1", *settings)
        found = result(done.folder)
        assert found["name"] == "bear" and found["prompt"] == WORDS["prompt"]
        assert found["handles"] == [[[2, 2], [6, 2]]] and not found["everything_editable"]
        assert found["config"]["drag"]["order"] == order
        pictures.add((done.folder / "dragged.png").read_bytes())
    assert len(pictures) == 3  # of one handle both orders are the same


@pytest.mark.parametrize(("mask", "words"), [((), "none is given"), (("mask=empty.png",), "black")])
def test_that_everything_may_change_is_said(run, mask, words: str) -> None:
    done = run(*OWN, *mask, "use_lora=false")
    assert f"mask: {'all of it is ' if mask else ''}{words}, so everything may change" in done.err
    assert result(done.folder)["everything_editable"]


def test_another_size_takes_points_and_mask_along(run) -> None:
    done = run(*OWN, "mask=mask.png", "size=64", "fit=resize", "use_lora=false")
    found = result(done.folder)
    assert found["handles"][0] == [[4, 4], [12, 4]]
    assert Image.open(done.folder / "dragged.png").size == (64, 64)


def test_other_teachers_take_the_papers_numbers(run, pocket) -> None:
    path = f"teacher.path={pocket / 'teacher'}"
    config = result(run("teacher=sd15", path, *OWN, "use_lora=false").folder)["config"]
    assert (config["radius"], config["drag_step"], config["lora"]["lr"]) == (5, 2.0, 2e-4)


def real_item() -> tuple[Path, DragItem]:
    """The first photograph with a drag that I2I_DDS_DATA holds."""
    root = Path(os.environ.get("I2I_DDS_DATA", ""))
    words = sorted(root.rglob("prompt.json")) if "I2I_DDS_DATA" in os.environ else []
    if not words:  # photographs are no part of the repository; see CONTRIBUTING
        pytest.skip("I2I_DDS_DATA names no folder that holds an item with a prompt.json")
    return words[0].parent, load_item(words[0].parent)


def test_a_real_photograph_from_command_to_pictures(run, pocket) -> None:
    folder, item = real_item()
    assert item.mask is not None and max(item.image.size) > 128
    path = f"teacher.path={pocket / 'teacher'}"
    done = run("teacher=sd15", path, f"item={folder}", "size=128", "fit=resize", "drag_step=8")
    found = result(done.folder)
    assert {path.name for path in done.folder.iterdir()} == FILES
    assert found["name"] == item.name and found["prompt"] == item.prompt
    # Pixels of the photograph, scaled once: 32 cells along each side.
    for pair, cells in zip(item.points, found["handles"], strict=True):
        for place, cell in zip(pair, cells, strict=True):
            sides = zip(place, item.image.size, strict=True)
            assert cell == [int(32 * (at + 0.5) / side) for at, side in sides]
    assert not found["everything_editable"] and found["nonfinite"] == 0
    dragged, source = Image.open(done.folder / "dragged.png"), item.image.resize((128, 128))
    assert dragged.size == (128, 128) and dragged.tobytes() != source.tobytes()
    assert len(frames(done.folder)) == found["drag_steps"] + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("image=none.png", *OWN[1:]), "image: 'none.png' does not exist; give"),
        (OWN[:2], "points: none is given; give points='[[145,216,146,144]]'"),
        ((OWN[0], OWN[2]), "prompt: none is given; give prompt='a polar bear', or ''"),
        ((*OWN[:2], "points=[[8,8,24]]"), "points: [8, 8, 24] is not allowed; give a list of"),
        ((*OWN[:2], "points=[8,8,24,8]"), "points: 8 is not allowed; give a list of [x, y, x2"),
        ((*OWN[:2], "points=[]"), "points: [] is not allowed; give a list of [x, y, x2, y2]"),
        ((*OWN[:2], "points=8"), "points: 8 is not allowed; give a list of [x, y, x2, y2]"),
        ((*OWN[:2], "points=[[8,8,24,a]]"), "points: [8, 8, 24, 'a'] is not allowed; give"),
        ((*OWN[:2], "points=[[8,8,32,8]]"), "points: (32, 8) is outside the picture; x is at"),
        ((*OWN[:2], "points=[[8,-1,24,8]]"), "points: (8, -1) is outside the picture; x is"),
        ((*OWN[:2], "points=[[8,8,9,9]]"), "points: no handle lies in another latent cell than"),
        ((*OWN, "mask=small.png"), "mask: 'small.png' is 16x16 but its picture is 32x32; give"),
        ((*OWN, "mask=none.png"), "mask: 'none.png' does not exist; give"),
        ((*OWN, "size=33"), "size: 33 is not allowed; give positive multiples of 4"),
        ((*OWN, "size=64", "fit=error"), "size: the picture is 32x32, wanted is 64x64 (multi"),
        ((*OWN, "fit=crop"), "fit: 'crop' is not allowed; give one of auto, error, resize"),
        (("size=[32,32]",), "size: (32, 32) is not allowed; give one side, a multiple"),
        (("size=30",), "size: 30 is not allowed; give one side, a multiple of 4"),
        (("prompt=a cat",), "prompt: 'a cat' goes with image=<picture>"),
        (("mask=mask.png",), "mask: 'mask.png' goes with image=<picture>"),
        (("item=bench/bear", OWN[0]), "image: 'cat.png' does not go with item"),
        (("item=bench/bear", OWN[2]), "points: [[8, 8, 24, 8], [10, 20, 11, 21]] does not go"),
        (("item=bench",), "item: 'bench' is not whole; wanted are"),
        (("strength=0",), "strength: 0 is not allowed; give a number of at most 1 above 0"),
        (("strength=1.01",), "strength: 1.01 is not allowed; give a number of at most 1 above 0"),
        (("steps=0",), "steps: 0 is not allowed; give a whole number of at least 1"),
        (("steps=1001",), "steps: 1001 is not allowed; give 1 to 1000"),
        (("lora.lr=-1",), "lora.lr: -1 is not allowed; give a number above 0"),
        (("use_lora=false", "lora.rank=0"), "lora.rank: 0 is not allowed; give a whole number of"),
        (("lora.steps=0",), "lora.steps: 0 is not allowed; give a whole number of at least 1"),
        (("sampler=ddim",), "sampler: 'ddim' is not allowed; give one of cycle_sde, sde, ode"),
        (("order=random",), "order: 'random' is not allowed; give one of simultaneous, seq"),
        (("radius=-1",), "radius: -1 is not allowed; give a whole number of at least 0"),
        (("beta=1.5",), "beta: 1.5 is not allowed; give a number from 0 to 1"),
        (("alpha=0",), "alpha: 0 is not allowed; give a number above 0"),
        (("drag_step=0",), "drag_step: 0 is not allowed; give a number above 0"),
        (
            ("guidance_scale=high",),
            "guidance_scale: 'high' is not allowed; give a number of at least 0",
        ),
        (("lora_low=-1",), "lora_low: -1 is not allowed; give a number of at least 0"),
        (("use_lora=maybe",), "use_lora: 'maybe' is not allowed; give true or false"),
        (("kind=tail",), "kind: 'tail' is not allowed; give one of head, accessory, ear"),
        (("radios=3",), "radios: no such key (did you mean 'radius'?)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert not list(tmp_path.glob("outputs/drag/*"))


def test_a_mask_that_vanishes_is_no_mask_for_everything(run, tmp_path: Path) -> None:
    dot = Image.new("L", (32, 32), 0)
    dot.putpixel((0, 0), 255)
    dot.save(tmp_path / "dot.png")
    done = run(*OWN, "mask=dot.png", "size=16", "fit=resize")
    assert done.code == 2
    assert done.sentence.startswith("error: mask: nothing of its white part is left at 16x16; give")
    assert not list(tmp_path.glob("outputs/*/*"))


def test_help_says_what_it_is(run) -> None:
    done = run("--help")
    assert done.code == 0 and "Drags handles in a picture to their targets (SDE-Drag)." in done.out
    assert "drag_step: 4.0" in done.out and "sampler: cycle_sde" in done.out


def test_several_processes_do_not_drag_the_same_unasked(run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    done = run(*OWN)
    assert done.code == 2 and done.sentence.startswith("error: drag: 2 processes were started")
    assert not list(tmp_path.glob("outputs/drag/*"))


def test_onnx_runtime_drags_the_same_to_rounding(run) -> None:
    given = (*OWN, "mask=mask.png", "strength=0.5", "use_lora=false")
    plain, by_onnx = (run(*given, *more) for more in ((), ("compile=onnx", "paths.suffix=-onnx")))
    pictures = [
        np.asarray(Image.open(done.folder / "dragged.png"), dtype=int) for done in (plain, by_onnx)
    ]
    assert abs(pictures[0] - pictures[1]).max() <= 1
    assert result(by_onnx.folder)["config"]["compile"] == "onnx"


def test_a_lora_is_not_compiled(run) -> None:
    sentence = run(*OWN, "compile=onnx").sentence
    assert sentence.startswith(
        "error: compile: 'onnx' does not go with use_lora=true, which changes"
    )
