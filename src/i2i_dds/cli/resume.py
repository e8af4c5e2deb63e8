"""Commands that go on where they stopped: rows of other settings must not be counted with these."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from i2i_dds.cli.app import resolved
from i2i_dds.errors import UserError


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Within it, torch computes on so many threads of the CPU; None leaves it as it is."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def settings(cfg: DictConfig, free: Collection[str]) -> dict[str, Any]:
    """Every setting that rows depend on, by its dotted key; `free` are those they do not."""
    from i2i_dds.runs import plain

    kept = {key: value for key, value in plain(resolved(cfg)).items() if key not in free}
    return dict(_flat(kept))


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check_same(folder: Path, settings: dict[str, Any]) -> None:
    """Keeps rows of other settings from being counted with these.

    Raises:
        UserError: The folder holds such.
    """
    from i2i_dds.runs import write_json

    path = folder / "settings.json"
    if not path.is_file():
        write_json(path, settings)
        return
    there = json.loads(path.read_text(encoding="utf-8"))
    # What a person types comes before what is made of it: steps before drag.steps.
    for key in sorted({*there, *settings}, key=lambda key: (key.count("."), key)):
        if there.get(key) != settings.get(key):
            raise UserError(
                f"{key}: {settings.get(key)!r} is not allowed here: the rows in '{folder}' were "
                f"made with {there.get(key)!r}; give that, another out, or remove the folder"
            )
