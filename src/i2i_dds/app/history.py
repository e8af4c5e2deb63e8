"""What the page has made, a folder each: source, mask, result, and how it was asked for."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

SOURCE, MASK, RESULT, REQUEST = "source.png", "mask.png", "result.png", "request.json"


@dataclass(frozen=True)
class Entry:
    """One result.

    Attributes:
        folder: With its files.
        title: A line for people.
        settings: What was run, for people.
        python: The lines that repeat it.
        command: The command line that repeats it.
    """

    folder: Path
    title: str
    settings: dict[str, Any]
    python: str
    command: str

    @property
    def source(self) -> Image.Image:
        """The picture before."""
        return _read(self.folder / SOURCE)

    @property
    def result(self) -> Image.Image:
        """The picture after."""
        return _read(self.folder / RESULT)


class History:
    """Folders of results, numbered.

    Args:
        folder: Where they go.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()

    @contextmanager
    def new(self) -> Iterator[tuple[Path, Path]]:
        """A folder for one result, which appears when all of it is there.

        Yields:
            The folder to write into, and the one that it becomes; it is removed on an error.
        """
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            taken = [int(one.name[:4]) for one in self.folder.glob("[0-9][0-9][0-9][0-9]*")]
            final = self.folder / f"{max(taken, default=0) + 1:04d}"
            partial = final.with_name(f"{final.name}.partial")
            partial.mkdir()
        try:
            yield partial, final
            partial.rename(final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def write_result(folder: Path, image: Image.Image, entry: Entry) -> None:
    """The picture, and as JSON how it was asked for."""
    image.save(folder / RESULT)
    content = {**entry.settings, "python": entry.python, "command": entry.command}
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
    (folder / REQUEST).write_text(text + "\n", encoding="utf-8")


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")
