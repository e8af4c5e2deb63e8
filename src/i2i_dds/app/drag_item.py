"""A drag written down as an item of a benchmark, in SDE-Drag's layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from i2i_dds.app.history import MASK, History

ITEMS = "drag_items"
"""Folder of such items in the page's own: ``drag_bench data=dragbench_s root=<it>`` drags them."""

_PICTURE, _WORDS = "origin_image.png", "prompt.json"


def save_item(
    out: Path,
    picture: Image.Image,
    mask: Image.Image | None,
    prompt: str,
    points: Sequence[Sequence[int]],
) -> Path:
    """Writes picture, mask, points and prompt.

    Args:
        out: The page's folder.
        picture: What is dragged.
        mask: White may change; None is everywhere.
        prompt: What the picture shows.
        points: (x, y, target x, target y) of each handle.

    Returns:
        The item's folder.
    """
    content = {
        "source": [[*row[:2]] for row in points],
        "target": [[*row[2:]] for row in points],
        "prompt": prompt,
    }
    with History(out / ITEMS).new() as (folder, final):
        picture.save(folder / _PICTURE)
        (mask or Image.new("L", picture.size, 255)).save(folder / MASK)
        text = json.dumps(content, ensure_ascii=False)
        (folder / _WORDS).write_text(text + "\n", encoding="utf-8")
    return final
