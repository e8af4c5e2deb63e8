"""An edit from what a person has set to an entry of the history."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds import EditPipeline, UserError
from i2i_dds.app.editors import BY_NAME, STUDENT, preset_values
from i2i_dds.app.history import MASK, SOURCE, Entry, History, write_result
from i2i_dds.app.jobs import Preview, Result, follow, resized
from i2i_dds.app.pictures import painted_mask, read_mask, read_upload, working_size
from i2i_dds.app.requests import EditRequest, TeacherName
from i2i_dds.app.student_request import StudentRequest

EVERYTHING, AUTO, BRUSH, FILE = "everything", "auto", "brush", "file"


@dataclass(frozen=True)
class Asked:
    """What stands in the page's fields.

    Attributes:
        picture: Path of the upload; None of none.
        source: Prompt.
        target: Prompt.
        editor: A name.
        values: Argument of the pipeline -> what its control shows.
        mask: EVERYTHING, AUTO, BRUSH or FILE.
        painting: What the brush gives.
        own_size: Whether a large picture is edited at its own size.
        seed: Of the noise.
        mask_file: Path of an uploaded mask; None of none.
        student: Folder of the chosen student; None of none.
        task: Which of its tasks; None has it read the target.
    """

    picture: str | None
    source: str
    target: str
    editor: str
    values: Mapping[str, Any]
    mask: str
    painting: dict[str, Any] | None
    own_size: bool
    seed: int
    mask_file: str | None = None
    student: Path | None = None
    task: str | None = None


def edit(
    asked: Asked,
    pipe: EditPipeline,
    teacher: TeacherName,
    history: History,
    stop: threading.Event,
) -> Iterator[Preview | Entry]:
    """Edits, shows previews, and yields an entry at the end.

    Raises:
        UserError: Something of what was asked is not allowed.
        Cancelled: ``stop`` was set.
    """
    if not asked.picture:
        raise UserError("picture: there is none; drop one, or take an example")
    picture = read_upload(asked.picture)
    with history.new() as (folder, final):
        picture.save(folder / SOURCE)
        mask = _mask(asked, picture.size, folder)
        request = _request(asked, pipe, picture, mask, final)
        here = replace(
            request,
            image=folder / SOURCE,
            mask=folder / MASK if isinstance(request.mask, Path) else request.mask,
        )
        jobs = follow(
            lambda on_step: here.run(pipe, on_step), lambda step: pipe.decode(step.z)[0], stop
        )
        result = yield from resized(jobs, picture.size)
        entry = _finish(result, request, teacher, folder, final)
    yield entry


def _mask(asked: Asked, size: tuple[int, int], folder: Path) -> Image.Image | str | None:
    if asked.mask == BRUSH:
        mask = painted_mask(asked.painting, size)
        mask.save(folder / MASK)
        return mask
    if asked.mask == FILE:
        mask = read_mask(asked.mask_file, size)
        mask.save(folder / MASK)
        return mask
    if asked.mask == AUTO:
        if not BY_NAME[asked.editor].guided:
            raise UserError("mask: a student reads no prompts to find one by; paint or drop one")
        return None if BY_NAME[asked.editor].finds_mask else AUTO
    if BY_NAME[asked.editor].needs_mask:
        raise UserError("mask: this editor fills a mask; paint one, or have it found")
    return None


def _request(
    asked: Asked,
    pipe: EditPipeline,
    picture: Image.Image,
    mask: Image.Image | str | None,
    final: Path,
) -> EditRequest | StudentRequest:
    native, factor = pipe.teacher.native_size, pipe.teacher.vae_scale_factor
    size = None if asked.own_size else working_size(picture.size, native, factor)
    file = final / MASK if isinstance(mask, Image.Image) else mask
    if asked.editor == STUDENT:
        if asked.student is None:
            raise UserError("student: none is chosen; choose one, or train it: i2i train")
        return StudentRequest(
            image=final / SOURCE,
            student=asked.student,
            task=asked.task,
            source=asked.source.strip(),
            target=asked.target.strip(),
            mask=file,
            size=size,
        )
    presets = preset_values(asked.editor, pipe.teacher.presets)
    return EditRequest(
        image=final / SOURCE,
        source=asked.source.strip(),
        target=asked.target.strip(),
        editor=asked.editor,
        settings={k: asked.values[k] for k, value in presets.items() if asked.values[k] != value},
        mask=file,
        size=size,
        seed=asked.seed,
    )


def _finish(
    result: Result[Any],
    request: EditRequest | StudentRequest,
    teacher: TeacherName,
    folder: Path,
    final: Path,
) -> Entry:
    output = result.value
    settings = {
        "source": request.source,
        "target": request.target,
        **{name: value for name, value in output.settings.items() if value is not None},
        "seconds": round(result.seconds, 1),
    }
    entry = Entry(
        folder=final,
        title=request.title,
        settings=settings,
        python=request.python(teacher),
        command=request.command(teacher),
    )
    write_result(folder, output.images[0], entry)
    return entry
