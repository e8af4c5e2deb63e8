"""An edit from what a person has set to an entry of the history."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds import EditPipeline, UserError
from i2i_dds.app.editors import BY_NAME, preset_values
from i2i_dds.app.history import MASK, SOURCE, Entry, History, write_result
from i2i_dds.app.jobs import Preview, Result, follow, resized
from i2i_dds.app.pictures import painted_mask, read_upload, working_size
from i2i_dds.app.requests import EditRequest, TeacherName

EVERYTHING, AUTO, BRUSH = "everything", "auto", "brush"


@dataclass(frozen=True)
class Asked:
    """What stands in the page's fields.

    Attributes:
        picture: Path of the upload; None of none.
        source: Prompt.
        target: Prompt.
        editor: A name.
        values: Argument of the pipeline -> what its control shows.
        mask: EVERYTHING, AUTO or BRUSH.
        painting: What the brush gives.
        own_size: Whether a large picture is edited at its own size.
        seed: Of the noise.
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
    if asked.mask == AUTO:
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
) -> EditRequest:
    presets = preset_values(asked.editor, pipe.teacher.presets)
    native, factor = pipe.teacher.native_size, pipe.teacher.vae_scale_factor
    return EditRequest(
        image=final / SOURCE,
        source=asked.source.strip(),
        target=asked.target.strip(),
        editor=asked.editor,
        settings={k: asked.values[k] for k, value in presets.items() if asked.values[k] != value},
        mask=final / MASK if isinstance(mask, Image.Image) else mask,
        size=None if asked.own_size else working_size(picture.size, native, factor),
        seed=asked.seed,
    )


def _finish(
    result: Result[Any], request: EditRequest, teacher: TeacherName, folder: Path, final: Path
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
        title=f"{request.target} · {request.editor}",
        settings=settings,
        python=request.python(teacher),
        command=request.command(teacher),
    )
    write_result(folder, output.images[0], entry)
    return entry
