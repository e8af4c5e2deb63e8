"""What a study is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds.editing.drag import Drag
from i2i_dds.pipelines.drag import PictureLora
from i2i_dds.resumable import OnProgress
from i2i_dds.tasks import TaskSet


@dataclass(frozen=True)
class StudyContext:
    """What a study is given beside its settings.

    Attributes:
        name: The study's.
        teacher: Who is studied; None where the study needs none.
        tasks: The edit that is looked at.
        drag: The drag that is studied, where it is one.
        lora: How the teacher learns each picture before a drag; None of not.
        on_progress: Told how much is done, and of how much.
        notify: Told what a person should know.
    """

    name: str
    teacher: Any
    tasks: TaskSet
    drag: Drag | None = None
    lora: PictureLora | None = None
    on_progress: OnProgress = lambda done, total: None
    notify: Callable[[str], None] = lambda note: None


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes:
        lines: One for each setting: what table.csv holds.
        shown: Columns of the table that a person reads.
        plot: Writes the figure to a path.
        rows: One for each setting and seed, where lines are means over seeds.
        pictures: Name -> picture.
    """

    lines: Sequence[Mapping[str, Any]]
    shown: Sequence[str]
    plot: Callable[[Path], None]
    rows: Sequence[Mapping[str, Any]] = ()
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
