"""Dragging from Python: the command's bits, the picture's own size, one sentence for a mistake."""

import numpy as np
import pytest
from PIL import Image

from i2i_dds.cli.drag import main
from i2i_dds.critters import render, scenes
from i2i_dds.editing.lora import LoraSettings
from i2i_dds.errors import UserError
from i2i_dds.pipelines.drag import DragPipeline
from i2i_dds.teacher.presets import presets_for

POINTS = [[10, 12, 18, 12]]
PROMPT = "a cat"


@pytest.fixture
def pipe(pocket) -> DragPipeline:
    return DragPipeline.from_pretrained(
        str(pocket / "teacher"), device="cpu", presets=presets_for("pocket")
    )


@pytest.fixture
def picture(tmp_path) -> str:
    path = tmp_path / "cat.png"
    render(scenes("val", 1, species="cat")[0], 32).save(path)
    return str(path)


@pytest.mark.parametrize("use_lora", [False, True])
def test_command_and_python_give_the_same_bits(typed, pipe, picture, use_lora: bool) -> None:
    more = ["steps=4", "strength=0.5", "radius=1", "drag_step=4", "lora.steps=2", "lora.rank=2"]
    told = [f"image={picture}", f"prompt={PROMPT}", f"points={POINTS}", f"use_lora={use_lora}"]
    folder = typed(main, *told, *more, "seed=3").folder
    out = pipe(
        picture,
        PROMPT,
        POINTS,
        num_inference_steps=4,
        strength=0.5,
        radius=1,
        drag_step=4.0,
        use_lora=use_lora,
        lora_settings=LoraSettings(rank=2, steps=2, lr=pipe.teacher.presets["lora"]["lr"]),
        seed=3,
    )
    written = np.asarray(Image.open(folder / "dragged.png"))
    assert np.array_equal(np.asarray(out.images[0]), written)
    assert (out.lora is not None) == use_lora


def test_a_picture_of_any_size_comes_back_at_its_own(pipe) -> None:
    image = render(scenes("val", 1, species="cat")[0], 64).resize((37, 45))
    fast = {"num_inference_steps": 4, "strength": 0.5, "radius": 1, "use_lora": False}
    out = pipe(image, PROMPT, POINTS, **fast)
    assert out.images[0].size == (37, 45) and len(out.frames) == out.dragged.drag_steps + 1
    assert pipe(image, PROMPT, POINTS, fit="resize", **fast).images[0].size != (37, 45)
    with pytest.raises(UserError, match="size: the picture is 37x45, wanted is 36x44"):
        pipe(image, PROMPT, POINTS, fit="error", **fast)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [[1, 2, 3]]}, "points: "),
        ({"points": [[1, 2, 99, 3]]}, "points: .* is outside the picture"),
        ({"fit": "crop"}, "fit: 'crop' is not allowed; give one of auto, resize, error"),
        ({"order": "none"}, "order: 'none' is not allowed"),
    ],
)
def test_mistakes_are_named(pipe, picture, arguments, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pipe(picture, PROMPT, **{"points": POINTS, "use_lora": False, **arguments})


@pytest.mark.parametrize("points", [[((10, 12), (18, 12))], np.array([[10, 12, 18, 12]])])
def test_points_are_rows_or_pairs(pipe, picture, points) -> None:
    fast = {"num_inference_steps": 4, "strength": 0.5, "radius": 1, "use_lora": False}
    out = pipe(picture, PROMPT, points, **fast)
    assert np.array_equal(out.images[0], pipe(picture, PROMPT, POINTS, **fast).images[0])


def test_the_command_too_takes_a_picture_of_any_size(typed, tmp_path) -> None:
    path = tmp_path / "odd.png"
    render(scenes("val", 1, species="cat")[0], 64).resize((37, 45)).save(path)
    told = [f"image={path}", "prompt=a cat", f"points={POINTS}", "use_lora=false"]
    folder = typed(main, *told, "steps=4", "strength=0.5", "radius=1").folder
    assert Image.open(folder / "dragged.png").size == (37, 45)
