import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_dds import Student, Task, TaskSet, UserError, example_picture
from i2i_dds.app.compare import MOST_PICTURES, shared_tasks, side_by_side
from i2i_dds.app.jobs import Cancelled, Preview, Result
from i2i_dds.app.students import Students
from tests.app.conftest import wait_for_text
from tests.app.test_run_folder import write_run

CAT2LION = Task(
    "cat2lion",
    replace={"cat": "lion"},
    source={"species": "cat"},
    target={"species": "lion"},
)


CAT2DOG = Task(
    "cat2dog",
    replace={"cat": "dog"},
    source={"species": "cat"},
    target={"species": "dog"},
)


def save_student(pipe, run: Path, change: float, *tasks: Task) -> Path:
    """A training with a student that leaves pictures as they are, or changes them."""
    student = Student.new(pipe.teacher, TaskSet(list(tasks or [CAT2LION])))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in student.network.parameters():
            weight.add_(change * torch.randn_like(weight))
    student.save_pretrained(write_run(run) / "student")
    return run / "student"


def cells(sheet: Image.Image) -> list[np.ndarray]:
    """The first row, cut in three."""
    third = sheet.width // 3
    pixels = np.asarray(sheet).astype(float)[30:230]
    return [pixels[:, column * third + 12 : (column + 1) * third - 12] for column in range(3)]


def compare(students, uploads, pipe, **given) -> tuple[list[Preview], Image.Image]:
    *previews, last = side_by_side(students, uploads, pipe, threading.Event(), **given)
    assert isinstance(last, Result)
    return [one for one in previews if isinstance(one, Preview)], last.value


def test_each_student_has_a_column_of_its_own(pipe, tmp_path: Path) -> None:
    students = {
        "A": save_student(pipe, tmp_path / "a", 0.0),
        "B": save_student(pipe, tmp_path / "b", 0.15),
    }
    example_picture().save(tmp_path / "up.png")
    picture, a, b = cells(compare(students, [str(tmp_path / "up.png")], pipe)[1])
    assert np.abs(a - picture).mean() < 0.5 * np.abs(b - picture).mean()
    previews, held_out = compare(students, [], pipe)
    assert held_out.height > 4 * 224
    assert {(one.what, one.steps) for one in previews} == {("Picture", 8)}
    assert all(one.image.size == held_out.size for one in previews)
    with pytest.raises(UserError, match="pictures: 7 are given"):
        compare(students, ["x"] * (MOST_PICTURES + 1), pipe)


def test_both_do_the_task_that_is_chosen_or_each_its_own(pipe, tmp_path: Path) -> None:
    students = {
        "A": save_student(pipe, tmp_path / "a", 0.15, CAT2LION, CAT2DOG),
        "B": save_student(pipe, tmp_path / "b", 0.0, CAT2DOG),
    }
    loaded = [Student.from_pretrained(path, pipe.teacher) for path in students.values()]
    assert shared_tasks(loaded) == ["cat2dog"] and shared_tasks(loaded[:1])[0] == "cat2lion"
    example_picture().save(tmp_path / "up.png")
    uploads = [str(tmp_path / "up.png")]
    for task, done in (("cat2dog", "cat2dog"), ("", "cat2lion")):
        _, a, b = cells(compare(students, uploads, pipe, task=task)[1])
        alone = {"A": students["A"], "again": students["A"]}
        _, expected, _ = cells(compare(alone, uploads, pipe, task=done)[1])
        assert (a == expected).all() and (b != a).any()
    with pytest.raises(UserError, match="task: B does not know 'cat2lion'"):
        compare(students, uploads, pipe, task="cat2lion")


def test_a_comparison_is_stopped_at_its_next_picture(pipe, tmp_path: Path) -> None:
    student, stop = save_student(pipe, tmp_path / "a", 0.0), threading.Event()
    comparing = side_by_side({"A": student, "B": student}, [], pipe, stop)
    assert isinstance(next(comparing), Preview)
    stop.set()
    with pytest.raises(Cancelled):
        list(comparing)


NAMES = ["2026-02-01-one", "2026-02-02-two"]


@pytest.fixture
def two_students(served_page, pipe) -> Iterator[None]:
    for number, name in enumerate(NAMES):
        save_student(pipe, served_page.runs / name, 0.05 * number)
    yield
    for name in NAMES:
        shutil.rmtree(served_page.runs / name)


def open_comparison(page) -> None:
    page.get_by_role("tab", name="Runs").click()
    page.click("#runs-refresh")  # at once: what it tells is not lost to the newest training's
    page.wait_for_selector("#runs-status :has-text('found')")
    page.get_by_text("Two students side by side").click()


def choose_both(page) -> None:
    for label, name in zip("AB", NAMES, strict=True):
        page.click(f"#compare-{label} input")
        page.locator(f"#compare-{label} [role=option]:visible", has_text=name).click()


def test_two_students_are_compared_in_the_browser(open_page, two_students) -> None:
    page = open_page()
    open_comparison(page)
    page.click("#compare-run")
    page.wait_for_selector("#compare-status .error:has-text('two are wanted')")
    choose_both(page)
    wait_for_text(page, "#compare-status", "Click Compare")
    assert page.input_value("#compare-task input") == "cat2lion"
    page.click("#compare-run")
    page.wait_for_selector("#compare-status .done:has-text('Compared')")
    page.wait_for_selector("#compare-sheet img")


def test_a_choice_that_takes_long_speaks_before_the_comparison(
    open_page, two_students, monkeypatch
) -> None:
    load, heard = Students.load, []

    def slowly(students: Students, name: str) -> Student:
        if not heard:
            time.sleep(3)
        student = load(students, name)
        heard.append(name)
        return student

    monkeypatch.setattr(Students, "load", slowly)
    page = open_page()
    open_comparison(page)
    choose_both(page)
    wait_for_text(page, "#compare-task", "Task, once the student is read")
    page.click("#compare-run")
    page.wait_for_selector("#compare-status .done:has-text('Compared')")
    assert "once" not in page.inner_text("#compare-task")
    answered = len(heard)
    assert heard[-2:] == NAMES
    assert page.input_value("#compare-task input") == "cat2lion"
    page.wait_for_timeout(1000)
    assert len(heard) == answered and page.locator("#compare-status .done").count() == 1
