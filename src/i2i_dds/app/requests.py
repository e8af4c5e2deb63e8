"""What the page is asked to do, and the lines that ask for the same elsewhere."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from i2i_dds import EditPipeline

KEYS = {"num_inference_steps": "steps"}
"""Argument of the pipeline -> the command's key, where that has another name."""


@dataclass(frozen=True)
class TeacherName:
    """How the page's teacher is asked for elsewhere.

    Attributes:
        path: In Python, what ``from_pretrained`` takes.
        keys: On a command line, such as ``teacher=sd15``; empty for the default.
    """

    path: str = "pocket"
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class EditRequest:
    """One edit as the page asks for it.

    Attributes:
        image: The picture's file, whose name seeds the noise.
        source: What it shows.
        target: What it shall show.
        editor: A name of the pipeline's.
        settings: Arguments that differ from the teacher's presets.
        mask: A file (white may change), "auto", or None.
        size: (width, height) at which it is edited; None is the picture's own.
        seed: Of the noise.
    """

    image: Path
    source: str
    target: str
    editor: str = "zero_shot"
    settings: Mapping[str, Any] = field(default_factory=dict)
    mask: str | Path | None = None
    size: tuple[int, int] | None = None
    seed: int = 0

    @property
    def title(self) -> str:
        """A line for people."""
        return f"{in_short(self.target)} · {self.editor}"

    def arguments(self) -> dict[str, Any]:
        """What the pipeline is called with beside the picture."""
        given: dict[str, Any] = {"source": self.source, "target": self.target}
        given |= {"editor": self.editor, **self.settings}
        if self.mask is not None:
            given["mask"] = str(self.mask)
        if self.size is not None:
            given["size"] = self.size
        return {**given, "seed": self.seed}

    def run(self, pipe: EditPipeline, callback: Callable[[Any], None] | None = None) -> Any:
        """Edits; what comes back is the pipeline's."""
        return pipe(str(self.image), **self.arguments(), callback=callback)

    def python(self, teacher: TeacherName) -> str:
        """The lines of Python that give the same picture."""
        return python_lines("EditPipeline", teacher, [str(self.image)], self.arguments())

    def command(self, teacher: TeacherName) -> str:
        """The command line that gives the same picture."""
        keys = {
            "image": self.image,
            "prompt.source": self.source,
            "prompt.target": self.target,
            "editor": self.editor,
            **{KEYS.get(name, name): value for name, value in self.settings.items()},
            "mask": self.mask,
            "size": self.size,
            "seed": self.seed,
        }
        return command_line("edit", teacher, keys)


def python_lines(
    pipeline: str, teacher: TeacherName, positional: list[Any], named: Mapping[str, Any]
) -> str:
    """A call of a pipeline, one argument a line."""
    made = f"{pipeline}.from_pretrained({literal(teacher.path)})"
    return call_lines(pipeline, made, positional, named)


def call_lines(kind: str, made: str, positional: list[Any], named: Mapping[str, Any]) -> str:
    """A call of an object of the public API, one argument a line.

    Args:
        kind: Name of its class.
        made: The expression that makes it.
        positional: Arguments.
        named: Those with names.
    """
    given = [literal(value) for value in positional]
    given += [f"{name}={literal(value)}" for name, value in named.items()]
    call = "".join(f"    {one},\n" for one in given)
    return (
        f"from i2i_dds import {kind}\n\n"
        f"pipe = {made}\n"
        f"out = pipe(\n{call})\n"
        'out.images[0].save("result.png")\n'
    )


def command_line(command: str, teacher: TeacherName, keys: Mapping[str, Any]) -> str:
    """A command of ``i2i``, one key a line, quoted for a shell; None is left out."""
    words = [f"{key}={_typed(value)}" for key, value in keys.items() if value is not None]
    return " \\\n    ".join([f"i2i {command}", *map(shlex.quote, [*teacher.keys, *words])])


def in_short(words: str, most: int = 80) -> str:
    """Words of at most so many characters; of longer ones the beginning."""
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


def literal(value: Any) -> str:
    """Python's way to write a value; texts in double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _typed(value: Any) -> str:
    """A value as a command line has it."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_typed, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
