"""Two students on the same pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds import EditPipeline, Student, UserError, grid, held_out_scenes
from i2i_dds.app.jobs import Preview, Result, follow
from i2i_dds.app.pictures import read_upload, working_size

MOST_PICTURES = 6
OWN = ""
"""Instead of a task: each student does its own first one."""

_HELD_OUT = 4
_SIDE = 224
_TO_COME = (226, 226, 226)


@dataclass(frozen=True)
class Compared:
    """One more picture is edited.

    Attributes:
        step: How many were before it.
        steps: How many there are to be.
        columns: Header of a column -> its pictures as far as they are edited.
        what: What a step is called.
    """

    step: int
    steps: int
    columns: Mapping[str, Sequence[Image.Image]]
    what: str = "Picture"


def shared_tasks(students: Sequence[Student]) -> list[str]:
    """Tasks of the first one that all the others know, too."""
    first, *others = students
    return [name for name in first.tasks if all(name in one.tasks for one in others)]


def side_by_side(
    students: Mapping[str, Path],
    uploads: Sequence[str],
    pipe: EditPipeline,
    stop: threading.Event,
    task: str = OWN,
) -> Iterator[Preview | Result[Image.Image]]:
    """A table of pictures: a row each, the picture itself and what each student makes of it.

    Args:
        students: Header of a column -> folder of a student.
        uploads: Files of the page's server; of none, held-out scenes of the first one's task.
        pipe: With the teacher of both.
        stop: Ends it at the next picture.
        task: What they do, or OWN.

    Yields:
        The table as far as it goes, and at the end the whole one.

    Raises:
        UserError: A student is of another teacher or does not know the task, or a picture is not
            allowed.
        Cancelled: ``stop`` was set.
    """
    if len(uploads) > MOST_PICTURES:
        raise UserError(f"pictures: {len(uploads)} are given; give at most {MOST_PICTURES}")

    def work(tell: Callable[[Any], None]) -> Image.Image:
        loaded = {
            name: Student.from_pretrained(path, pipe.teacher) for name, path in students.items()
        }
        tasks = {name: _task(name, student, task) for name, student in loaded.items()}
        pictures = _pictures(uploads, *next(iter(loaded.items())), tasks, pipe)
        columns: dict[str, list[Image.Image]] = {"picture": pictures}
        columns |= {f"{name}: {tasks[name]}": [] for name in loaded}
        steps = len(loaded) * len(pictures)
        for number in range(steps):  # a row at a time: both answers to a picture come together
            name = list(loaded)[number % len(loaded)]
            picture = pictures[number // len(loaded)]
            edited = _edited(loaded[name], picture, tasks[name], pipe)
            columns[f"{name}: {tasks[name]}"].append(edited)
            tell(Compared(number, steps, columns))
        return grid(columns, side=_SIDE)

    yield from follow(work, _so_far, stop)


def _task(name: str, student: Student, task: str) -> str:
    if task != OWN and task not in student.tasks:
        raise UserError(f"task: {name} does not know '{task}'; choose another")
    return task if task != OWN else student.tasks[0]


def _pictures(
    uploads: Sequence[str],
    name: str,
    student: Student,
    tasks: Mapping[str, str],
    pipe: EditPipeline,
) -> list[Image.Image]:
    if uploads:
        return [read_upload(one) for one in uploads]
    known = student.network.tasks
    task = known[known.index(tasks[name])]
    return list(held_out_scenes(pipe.teacher, task, _HELD_OUT, judge=None).images)


def _edited(student: Student, image: Image.Image, task: str, pipe: EditPipeline) -> Image.Image:
    size = working_size(image.size, pipe.teacher.native_size, pipe.teacher.vae_scale_factor)
    return student(image, task=task, size=size).images[0]


def _so_far(told: Compared) -> Image.Image:
    rows = len(told.columns["picture"])
    blank = Image.new("RGB", (8, 8), _TO_COME)
    filled = {
        name: [*column, *[blank] * (rows - len(column))] for name, column in told.columns.items()
    }
    return grid(filled, side=_SIDE)
