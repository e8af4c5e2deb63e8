"""Work in many pieces that goes on where it stopped, on one process or many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from i2i_dds.distributed import gather, get_rank_and_world_size
from i2i_dds.errors import UserError
from i2i_dds.reading import read_object
from i2i_dds.runs import write_json

SETTINGS = "settings.json"
"""File of what a folder was made with."""

HALF_SETTINGS = ".settings.partial-*.json"
"""All that is in the folder of a run that was killed while it wrote that file."""

Piece = TypeVar("Piece")
OnProgress = Callable[[int, int], None]
"""Told how many pieces of this process's share are done, and how many there are."""


def run_resumable(
    pieces: Sequence[Piece],
    *,
    finished: Callable[[Piece], bool],
    do: Callable[[Piece], None],
    called: str,
    on_progress: OnProgress,
    notify: Callable[[str], None],
) -> None:
    """Does what is not finished yet; each process its share, and all return together.

    Args:
        pieces: The same on all processes.
        finished: Whether a piece was done before.
        do: Does one and keeps what came of it.
        called: What pieces are, such as "batches".
        on_progress: Told on the first process, before the first piece and after each.
        notify: Told on the first process how many were finished before.
    """
    rank, world_size = get_rank_and_world_size()
    left = [piece for piece in pieces if not finished(piece)]
    if rank == 0 and len(left) < len(pieces):
        notify(f"{len(pieces) - len(left)} of {len(pieces)} {called} are finished already")
    gather(None)  # else one that is late finds pieces finished that another has just done
    share = left[rank::world_size]
    if rank == 0:
        on_progress(0, len(share))
    for done, piece in enumerate(share, 1):
        do(piece)
        if rank == 0:
            on_progress(done, len(share))
    gather(None)


def check_same(folder: Path, settings: Mapping[str, Any]) -> None:
    """Keeps what was made with other settings from being counted with these.

    What a run of before, killed while it wrote, left half in the folder is removed.

    Args:
        folder: Its :data:`SETTINGS` has those of the first run.
        settings: All that results depend on, by dotted key.

    Raises:
        UserError: The folder holds such; the message names the first key that differs.
    """
    path = folder / SETTINGS
    if not path.is_file():
        for half in folder.glob(HALF_SETTINGS):
            half.unlink()
        write_json(path, settings)
        return
    there = read_object(path, "folder", "another out, or remove its folder")
    # What a person types comes before what is made of it: steps before drag.steps.
    for key in sorted({*there, *settings}, key=lambda key: (key.count("."), key)):
        if there.get(key) != settings.get(key):
            raise UserError(
                f"{key}: {settings.get(key)!r} is not allowed here: what is in '{folder}' was "
                f"made with {there.get(key)!r}; give that, another out, or remove the folder"
            )
    clear_halves(folder)


def describe(value: Any) -> Any:
    """Settings as JSON: a dataclass as its class's name and fields, a function as its name."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: describe(getattr(value, field.name)) for field in fields(value)}
        return {"class": type(value).__qualname__, **parts}
    if isinstance(value, (list, tuple)):
        return [describe(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__qualname__", repr(value))


def clear_halves(folder: Path) -> None:
    """Removes files that a process killed in the middle of writing left half in its own folder.

    Args:
        folder: That of a run that goes on, with the folders below; no other process writes there.
    """
    for half in folder.rglob(".*.partial-*"):  # as `i2i_dds.runs.replacing` names them
        half.unlink(missing_ok=True)
