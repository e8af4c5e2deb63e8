"""From clicks on a picture to the dragged picture, in a browser."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_dds import example_picture
from i2i_dds.app.drag_job import DragRequest
from i2i_dds.app.requests import TeacherName
from i2i_dds.cli.drag import main
from i2i_dds.data.dragbench import load_item
from tests.app.conftest import click_and_finish, wait_for_text
from tests.app.test_requests import words_of


@pytest.fixture
def page(open_page):
    page = open_page()
    page.get_by_role("tab", name="Drag").click()
    page.wait_for_selector("#drag-canvas img")
    page.fill("#drag-steps input[type=number]", "10")
    page.keyboard.press("Tab")
    return page


def drag(page) -> Path:
    return click_and_finish(page, "drag")


def click_at(page, x: float, y: float) -> None:
    """At fractions of the canvas's picture; waits until the mark is drawn."""
    image = page.locator("#drag-canvas img")
    before, box = image.get_attribute("src"), image.bounding_box()
    image.click(position={"x": x * box["width"], "y": y * box["height"]})
    page.wait_for_function(
        "old => document.querySelector('#drag-canvas img').src !== old", arg=before
    )


def test_the_first_click_drags_and_its_python_gives_the_same_picture(
    page, tmp_path: Path, monkeypatch
) -> None:
    folder = drag(page)
    lines = page.inner_text("#drag-python .cm-content")
    assert "[[30, 36, 42, 36]]" in lines
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "lines", "exec"), {})
    made, result = Image.open("result.png"), Image.open(folder / "result.png")
    assert (np.asarray(made) == np.asarray(result)).all()
    assert (np.asarray(result) != np.asarray(Image.open(folder / "source.png"))).any()


def test_handles_are_clicked_and_undone(page) -> None:
    click_at(page, 0.25, 0.25)
    click_at(page, 0.5, 0.25)
    click_at(page, 0.75, 0.75)
    source = page.get_attribute("#drag-canvas img", "src")
    page.click("#drag-undo")
    page.wait_for_function(
        "old => document.querySelector('#drag-canvas img').src !== old", arg=source
    )
    drag(page)
    lines = page.inner_text("#drag-python .cm-content")
    points = eval(next(line for line in lines.splitlines() if "[[" in line).strip().rstrip(","))
    assert points[0] == [30, 36, 42, 36]
    assert np.allclose(points[1], [16, 16, 32, 16], atol=1) and len(points) == 2
    source = page.get_attribute("#drag-canvas img", "src")
    page.click("#drag-clear")
    page.wait_for_function(
        "old => document.querySelector('#drag-canvas img').src !== old", arg=source
    )
    page.click("#drag-run")
    page.wait_for_selector("#drag-status .error:has-text('points: there is none')")


def test_stop_ends_a_drag(page, served_page, held_teacher) -> None:
    before = set(served_page.out.glob("*"))
    for control, value in (("steps", "200"), ("strength", "1")):
        page.fill(f"#drag-{control} input[type=number]", value)
        page.keyboard.press("Tab")
    page.click("#drag-run")
    wait_for_text(page, "#drag-status .busy", "Step")
    page.click("#drag-stop")
    wait_for_text(page, "#drag-status .idle", "Stopped")
    assert set(served_page.out.glob("*")) == before


def test_command_and_python_give_the_same_drag(tmp_path: Path, pipe, monkeypatch) -> None:
    from i2i_dds import DragPipeline

    monkeypatch.chdir(tmp_path)
    example_picture().save("source.png")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (5, 5, 60, 60))
    mask.save("mask.png")
    asked = DragRequest(
        Path("source.png"),
        "a 'cat'",
        [[30, 36, 42, 36], [10, 10, 20, 10]],
        {"num_inference_steps": 10, "radius": 3},
        mask=Path("mask.png"),
        size=(64, 48),
        seed=2,
        lora={"rank": 2, "steps": 3},
        lora_dir=Path("loras"),
    )
    direct = np.asarray(asked.run(DragPipeline(pipe.teacher)).images[0])
    exec(compile(asked.python(TeacherName()), "lines", "exec"), {})
    assert (np.asarray(Image.open("result.png")) == direct).all()
    command, *words = words_of(asked.command(TeacherName(keys=("teacher.device=cpu",))))
    assert command == "drag"
    monkeypatch.setattr(sys, "argv", ["i2i-drag", *words, "threads=null", "hydra.run.dir=run"])
    main()
    assert (np.asarray(Image.open("run/dragged.png")) == direct).all()


def test_what_is_clicked_is_saved_as_a_benchmark_item_and_learned_from(page) -> None:
    page.get_by_text("LoRA, and benchmark items").click()
    page.click("#drag-save")
    page.wait_for_selector("#drag-status .done:has-text('Saved as a benchmark item')")
    item = load_item(Path(page.inner_text("#drag-status .done").split(" · ")[-1]))
    assert item.points == (((30, 36), (42, 36)),)
    page.get_by_label("Learn the picture first").check()
    page.fill("#drag-lora-steps input[type=number]", "2")
    page.keyboard.press("Tab")
    drag(page)
    assert "lora_settings={'steps': 2}" in page.inner_text("#drag-python .cm-content")
