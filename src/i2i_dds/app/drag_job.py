"""A drag from what a person has clicked to an entry of the history."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from i2i_dds import DragPipeline, EditPipeline, UserError
from i2i_dds.app.arrows import Click, pairs
from i2i_dds.app.drag_item import save_item
from i2i_dds.app.history import MASK, SOURCE, Entry, History, write_result
from i2i_dds.app.jobs import Preview, Result, follow, resized
from i2i_dds.app.pictures import painted_mask, read_upload, working_size
from i2i_dds.app.requests import KEYS, TeacherName, command_line, python_lines

LORAS = "lora"
"""Folder of adapters in the page's own."""

CONTROLS = {"num_inference_steps": "steps", "strength": "strength", "radius": "radius"}
"""Argument of the pipeline that the page lets a person set -> its name in the presets."""


@dataclass(frozen=True)
class DragRequest:
    """One drag as the page asks for it.

    Attributes:
        image: The picture's file, whose name seeds the noise.
        prompt: What it shows.
        points: (x, y, target x, target y) of each handle.
        settings: Arguments that differ from the teacher's presets.
        mask: A file (white may change), or None.
        size: (width, height) at which it is dragged; None is the picture's own.
        seed: Of the noise.
        lora: How the teacher learns the picture first, as far as it differs from the presets; None
            drags with the plain teacher.
        lora_dir: Where adapters are kept, by a digest of the picture, and found again.
    """

    image: Path
    prompt: str
    points: list[list[int]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    mask: Path | None = None
    size: tuple[int, int] | None = None
    seed: int = 0
    lora: Mapping[str, Any] | None = None
    lora_dir: Path | None = None

    def arguments(self) -> dict[str, Any]:
        """What the pipeline is called with beside picture, prompt and points."""
        given: dict[str, Any] = {**self.settings, "use_lora": self.lora is not None}
        if self.lora:
            given["lora_settings"] = dict(self.lora)
        if self.lora is not None and self.lora_dir is not None:
            given["lora_dir"] = str(self.lora_dir)
        if self.mask is not None:
            given["mask"] = str(self.mask)
        if self.size is not None:
            given["size"] = self.size
        return {**given, "seed": self.seed}

    def run(self, pipe: DragPipeline, callback: Callable[[Any], None] | None = None) -> Any:
        """Drags; what comes back is the pipeline's."""
        return pipe(
            str(self.image),
            self.prompt,
            self.points,
            **self.arguments(),
            callback=callback,
            lora_callback=callback,
        )

    def python(self, teacher: TeacherName) -> str:
        """The lines of Python that give the same picture."""
        given = [str(self.image), self.prompt, self.points]
        return python_lines("DragPipeline", teacher, given, self.arguments())

    def command(self, teacher: TeacherName) -> str:
        """The command line that gives the same picture."""
        named = {KEYS.get(name, name): value for name, value in self.arguments().items()}
        learns = named.pop("lora_settings", {})
        named |= {f"lora.{name}": value for name, value in learns.items()}
        own = {"image": self.image, "prompt": self.prompt, "points": self.points}
        return command_line("drag", teacher, {**own, **named})


@dataclass(frozen=True)
class Clicked:
    """What stands in the page's fields.

    Attributes:
        picture: Path of the upload; None of none.
        prompt: What it shows.
        clicks: Handle, target, handle, target, and so on.
        values: Argument of the pipeline -> what its control shows.
        masked: Whether only what is painted may change.
        painting: What the brush gives.
        seed: Of the noise.
        lora: Rank and steps with which the teacher learns the picture first; None of neither.
    """

    picture: str | None
    prompt: str
    clicks: Sequence[Click]
    values: Mapping[str, Any]
    masked: bool
    painting: dict[str, Any] | None
    seed: int
    lora: Mapping[str, int] | None = None


def drag(
    asked: Clicked,
    pipe: EditPipeline,
    teacher: TeacherName,
    history: History,
    stop: threading.Event,
) -> Iterator[Preview | Entry]:
    """Drags, shows previews, and yields an entry at the end.

    Raises:
        UserError: Something of what was asked is not allowed.
        Cancelled: ``stop`` was set.
    """
    if not asked.picture:
        raise UserError("picture: there is none; drop one")
    points = pairs(asked.clicks)
    if not points:
        raise UserError("points: there is none; click a handle, and then where it shall go")
    picture = read_upload(asked.picture)
    with history.new() as (folder, final):
        picture.save(folder / SOURCE)
        if asked.masked:
            painted_mask(asked.painting, picture.size).save(folder / MASK)
        request = _request(asked, points, pipe, picture.size, final)
        request = replace(request, lora_dir=history.folder / LORAS)
        here = replace(request, image=folder / SOURCE, mask=folder / MASK if request.mask else None)
        dragging = DragPipeline(pipe.teacher)
        jobs = follow(
            lambda on_step: here.run(dragging, on_step),
            lambda step: pipe.decode(step.z)[0] if hasattr(step, "z") else picture,
            stop,
        )
        result = yield from resized(jobs, picture.size)
        entry = _finish(result, request, teacher, folder, final)
    yield entry


def _request(
    asked: Clicked,
    points: list[list[int]],
    pipe: EditPipeline,
    size: tuple[int, int],
    final: Path,
) -> DragRequest:
    presets = pipe.teacher.presets["drag"]
    native, factor = pipe.teacher.native_size, pipe.teacher.vae_scale_factor
    return DragRequest(
        image=final / SOURCE,
        prompt=asked.prompt.strip(),
        points=points,
        settings={
            name: asked.values[name]
            for name, key in CONTROLS.items()
            if asked.values[name] != presets[key]
        },
        mask=final / MASK if asked.masked else None,
        size=working_size(size, native, factor),
        seed=asked.seed,
        lora=_changed(asked.lora, pipe.teacher.presets),
    )


def _changed(lora: Mapping[str, int] | None, presets: Mapping[str, Any]) -> dict[str, int] | None:
    if lora is None:
        return None
    if "lora" not in presets:
        raise UserError("lora: this teacher has no settings for it; leave it out")
    return {name: value for name, value in lora.items() if value != presets["lora"][name]}


def save(asked: Clicked, history: History) -> Path:
    """What was clicked as an item of a benchmark.

    Returns:
        Its folder.

    Raises:
        UserError: There is no picture, no pair of handle and target, or nothing is painted.
    """
    points = pairs(asked.clicks)
    if not asked.picture or not points:
        raise UserError("points: a benchmark's item has a picture, a handle and where it shall go")
    picture = read_upload(asked.picture)
    mask = painted_mask(asked.painting, picture.size) if asked.masked else None
    return save_item(history.folder, picture, mask, asked.prompt.strip(), points)


def _finish(
    result: Result[Any], request: DragRequest, teacher: TeacherName, folder: Path, final: Path
) -> Entry:
    output = result.value
    settings = {
        "prompt": request.prompt,
        "points": request.points,
        **{name: value for name, value in output.settings.items() if value is not None},
        "lora": None if output.lora is None else _told(output.lora),
        "drag_steps": output.dragged.drag_steps,
        "seconds": round(result.seconds, 1),
    }
    count = len(request.points)
    entry = Entry(
        folder=final,
        title=f"{count} {'handle' if count == 1 else 'handles'} dragged",
        settings=settings,
        python=request.python(teacher),
        command=request.command(teacher),
    )
    write_result(folder, output.images[0], entry)
    return entry


def _told(lora: Any) -> str:
    return f"{len(lora.losses)} steps, {'found again' if lora.reused else 'trained now'}"
