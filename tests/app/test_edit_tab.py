"""From a click to a result, in a browser."""

import re
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from i2i_dds import Student, Task, example_picture
from tests.app.conftest import click_and_finish, wait_for_text
from tests.app.test_run_folder import write_run


def edit(page) -> Path:
    return click_and_finish(page, "edit")


def paint(page) -> None:
    """A stroke through the middle of the brush's canvas."""
    canvas = page.locator("#edit-brush canvas").first
    undo = page.locator("#edit-brush button[title='Undo']")
    for _ in range(20):  # the canvas tells nobody when it is ready
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x - 30, y)
        page.mouse.down()
        page.mouse.move(x + 30, y, steps=6)
        page.mouse.up()
        if undo.is_enabled():
            return
    raise AssertionError("the brush paints nothing")


def set_number(page, control: str, value: float) -> None:
    page.fill(f"#edit-{control} input[type=number]", str(value))
    page.keyboard.press("Tab")


def choose_editor(page, label: str, shows: str) -> None:
    page.click("#edit-editor input")
    page.get_by_role("option", name=re.compile(label)).click()
    page.wait_for_selector(f"#edit-{shows}", state="visible")


def wait_for_number(page, control: str, value: float) -> None:
    """What an editor's presets bring comes in after its fields, and over what was typed before."""
    page.wait_for_function(
        "([one, value]) => Number(document.querySelector(one)?.value) === value",
        arg=[f"#edit-{control} input[type=number]", value],
    )


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_first_click_edits_and_its_python_gives_the_same_picture(
    open_page, tmp_path: Path, monkeypatch
) -> None:
    page = open_page()
    folder = edit(page)
    assert (pixels(folder / "source.png") == np.asarray(example_picture("cat"))).all()
    assert (pixels(folder / "result.png") != pixels(folder / "source.png")).any()
    lines = page.inner_text("#edit-python .cm-content")
    assert "num_inference_steps" not in lines  # what is the preset's is not repeated
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "lines", "exec"), {})
    assert (pixels(tmp_path / "result.png") == pixels(folder / "result.png")).all()
    page.get_by_role("tab", name="Command line").click()
    page.wait_for_selector("#edit-command .cm-content")
    assert "i2i edit" in page.inner_text("#edit-command .cm-content")
    assert page.locator("#edit-slider img").count() == 2


def test_settings_of_another_editor_are_its_presets_and_are_obeyed(open_page, pipe) -> None:
    page = open_page()
    choose_editor(page, "FlowEdit", "strength")
    shown = float(page.input_value("#edit-strength input[type=number]"))
    assert shown == pipe.teacher.presets["flowedit"]["strength"]
    assert page.locator("#edit-score").count() == 0 or page.is_hidden("#edit-score")
    wait_for_number(page, "num_inference_steps", pipe.teacher.presets["flowedit"]["steps"])
    set_number(page, "num_inference_steps", 6)
    folder = edit(page)
    lines = page.inner_text("#edit-python .cm-content")
    assert 'editor="flowedit"' in lines and "num_inference_steps=6" in lines
    again = pipe(
        str(folder / "source.png"),
        source="a cat",
        target="a lion",
        editor="flowedit",
        num_inference_steps=6,
    )
    assert (np.asarray(again.images[0]) == pixels(folder / "result.png")).all()


def test_what_is_painted_changes_and_the_rest_hardly(open_page, pipe) -> None:
    page = open_page()
    set_number(page, "num_inference_steps", 5)
    page.get_by_label("painted").check()
    paint(page)
    folder = edit(page)
    mask = np.asarray(Image.open(folder / "mask.png")) > 0
    assert 0.01 < mask.mean() < 0.5
    before, after = pixels(folder / "source.png"), pixels(folder / "result.png")
    change = np.abs(before.astype(int) - after).mean(2)
    assert change[mask].mean() > 2 * change[~mask].mean()  # the rest goes through the autoencoder
    again = pipe(
        str(folder / "source.png"),
        source="a cat",
        target="a lion",
        mask=str(folder / "mask.png"),
        num_inference_steps=5,
    )
    assert (np.asarray(again.images[0]) == after).all()


def test_stop_ends_a_job_and_nothing_is_left_of_it(open_page, served_page, held_teacher) -> None:
    page = open_page()
    before = set(served_page.out.glob("*"))
    set_number(page, "num_inference_steps", 200)
    page.click("#edit-run")
    wait_for_text(page, "#edit-status .busy", "of 200")
    page.click("#edit-stop")
    wait_for_text(page, "#edit-status .idle", "Stopped")
    assert set(served_page.out.glob("*")) == before
    set_number(page, "num_inference_steps", 3)
    assert edit(page).is_dir()


def test_a_page_that_is_closed_stops_its_job(open_page, served_page, held_teacher) -> None:
    page = open_page()
    before = set(served_page.out.glob("*"))
    set_number(page, "num_inference_steps", 200)
    page.click("#edit-run")
    wait_for_text(page, "#edit-status .busy", "of 200")
    page.close()
    other = open_page()
    set_number(other, "num_inference_steps", 3)
    made = edit(other)  # waits for the teacher, who stands still until the first is to stop
    assert {one.name for one in set(served_page.out.glob("*")) - before} == {made.name}


def test_an_earlier_result_comes_back_with_its_settings(open_page) -> None:
    page = open_page()
    set_number(page, "num_inference_steps", 3)
    first = edit(page)
    page.fill("#edit-target textarea, #edit-target input", "a <b>tiger</b>")
    second = edit(page)
    assert first != second
    thumbnails = page.locator("#edit-history button.thumbnail-lg")
    thumbnails.nth(1).wait_for()
    assert thumbnails.count() == 2
    thumbnails.nth(1).click()
    page.wait_for_selector(f"#edit-status :has-text('{first.name}')")
    assert 'target="a lion"' in page.inner_text("#edit-python .cm-content")
    thumbnails.nth(0).click()
    page.wait_for_selector("#edit-status :has-text('<b>tiger</b>')")  # as text, not as bold


def test_what_is_not_allowed_is_said_in_one_sentence(open_page, tmp_path: Path) -> None:
    page = open_page()
    page.fill("#edit-target textarea, #edit-target input", " ")
    page.click("#edit-run")
    page.wait_for_selector("#edit-status .error:has-text('target')")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif")
    page.fill("#edit-target textarea, #edit-target input", "a lion")
    page.click("#edit-picture button[aria-label='Remove Image']")
    page.set_input_files("#edit-picture input[type=file]", tmp_path / "a.gif")
    page.wait_for_selector("#edit-picture img")
    page.click("#edit-run")
    page.wait_for_selector("#edit-status .error:has-text('cannot be read')")


def test_an_own_picture_is_edited_at_the_teachers_size_and_comes_back_at_its_own(
    open_page, tmp_path: Path
) -> None:
    page = open_page()
    example_picture("cat", 256).crop((0, 20, 256, 220)).save(tmp_path / "my cat.jpg")
    page.click("#edit-picture button[aria-label='Remove Image']")
    page.set_input_files("#edit-picture input[type=file]", tmp_path / "my cat.jpg")
    page.wait_for_selector("#edit-picture img")
    set_number(page, "num_inference_steps", 3)
    folder = edit(page)
    assert Image.open(folder / "result.png").size == (256, 200)
    assert "size=(72, 56)" in page.inner_text("#edit-python .cm-content")


def test_the_page_fits_a_phone(open_page) -> None:
    page = open_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_student_edits_within_a_mask_from_a_file(
    open_page, served_page, pipe, tmp_path: Path
) -> None:
    run = write_run(served_page.runs / "2026-01-02-student")
    Student.new(pipe.teacher, Task("cat2lion", {"cat": "lion"})).save_pretrained(run / "student")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (8, 8, 40, 56))
    mask.save(tmp_path / "mask.png")
    try:
        page = open_page()
        choose_editor(page, "trained student", "student")
        page.click("#edit-student input")
        page.get_by_role("option", name="2026-01-02-student").click()
        page.wait_for_selector("#edit-status :has-text('knows one task')")
        page.get_by_label("a file").check()
        page.set_input_files("#edit-mask-file input[type=file]", tmp_path / "mask.png")
        page.wait_for_selector("#edit-mask-file img")
        folder = edit(page)
    finally:
        shutil.rmtree(run)
    assert (pixels(folder / "mask.png") == pixels(tmp_path / "mask.png")).all()
    before, after = pixels(folder / "source.png"), pixels(folder / "result.png")
    outside = pixels(tmp_path / "mask.png") == 0
    assert (before[outside] == after[outside]).all() and (before != after).any()
    assert 'task="cat2lion"' in page.inner_text("#edit-python .cm-content")


def test_on_a_phone_the_brushes_tools_stand_below_its_label(open_page) -> None:
    page = open_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_label("painted").check()
    tools = page.locator("#edit-brush .top-panel")
    tools.wait_for(state="visible")
    label = page.locator("#edit-brush [data-testid=block-label]").bounding_box()
    assert tools.bounding_box()["y"] >= label["y"] + label["height"]
