"""What runs that were killed have left behind: found and named, never removed unasked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"\.partial-(\d+)(-1)*(\.\w+)?$")
"""As `i2i_dds.runs` names what is not finished, with the process that writes it."""


@dataclass(frozen=True)
class Leftover:
    """A file or folder of a run that did not end.

    Attributes:
        path: Where.
        size: Bytes of all that is in it.
    """

    path: Path
    size: int

    def __str__(self) -> str:
        return f"'{self.path}' ({readable(self.size)})"


def leftovers(folder: str | Path, deep: bool = False) -> list[Leftover]:
    """Those in a folder, by name; what a process of this machine still writes is none.

    Args:
        folder: Where to look; one that is absent has none.
        deep: Whether to look in the folders below, too.
    """
    return sorted(_found(Path(folder), deep), key=lambda one: one.path)


def readable(size: float) -> str:
    """Bytes as "3 bytes", "1.5 MB"."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _found(folder: Path, deep: bool) -> Iterator[Leftover]:
    below = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name, is_folder = _NAME.search(entry.name), entry.is_dir(follow_symlinks=False)
            if name is not None:
                if not _runs(int(name[1])):
                    yield Leftover(Path(entry.path), _size(Path(entry.path)))
            elif is_folder:
                below.append(Path(entry.path))
    for one in below if deep else []:
        yield from _found(one, deep)


def _size(path: Path) -> int:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    total = 0
    for file in files:
        with suppress(OSError):
            total += file.lstat().st_size if not file.is_dir() else 0
    return total


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another's, or no number of a process
        return True
    return True
