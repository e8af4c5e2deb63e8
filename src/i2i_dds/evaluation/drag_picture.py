"""The pictures of a drag: with its handles, targets and mask drawn on it, and the way between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from i2i_dds.data.dragbench import DragItem, TruthItem
from i2i_dds.data.images import to_pil
from i2i_dds.editing.drag_items import Dragged, DragRequest
from i2i_dds.evaluation.grid import grid
from i2i_dds.runs import write_image

Pair = tuple[tuple[float, float], tuple[float, float]]

HANDLE, TARGET, ARROW = (228, 40, 48), (38, 92, 226), (255, 255, 255)
LEAST = 256
"""Longer sides are enlarged to at least this many pixels, so that the marks are legible."""

BEFORE_AFTER = "before_after.png"
"""The file that shows the picture before and after its drag."""

FRAME_MS, LAST_FRAME_MS = 500, 1500
"""Milliseconds that the animation shows a drag step, and its first and last picture."""


def write_drag_pictures(
    folder: Path,
    item: DragItem,
    request: DragRequest,
    dragged: Dragged,
    truth: TruthItem | None,
    own_size: bool = False,
) -> None:
    """Writes the result, the picture before and after with its marks, and the way between.

    Args:
        folder: Where to.
        item: What was to be dragged.
        request: The same at the size it was dragged at.
        dragged: What came of it.
        truth: The ground truth, where it is known.
        own_size: Whether the result is brought back to the item's own size.
    """

    def with_marks(x: Tensor, mask: Image.Image | None = None) -> Image.Image:
        return marked(to_pil(x), item.points, mask, item.image.size)

    # An empty mask holds nothing back, so it is not drawn.
    held = None if dragged.mask is None or request.mask is None else to_pil(request.mask)
    before, result = with_marks(request.x, held), to_pil(dragged.x)
    columns = {"before": [before], "after": [with_marks(dragged.x)], "dragged": [result]}
    if truth is not None:
        columns["truth"] = [truth.truth]
    if own_size and result.size != item.image.size:
        result = result.resize(item.image.size, Image.Resampling.LANCZOS)
    write_image(folder / "dragged.png", result)
    write_image(folder / BEFORE_AFTER, grid(columns, [item.prompt], min(512, max(before.size))))
    first, *others = map(with_marks, dragged.frames)
    times = [LAST_FRAME_MS, *[FRAME_MS] * (len(others) - 1), LAST_FRAME_MS]
    options = {"append_images": others, "duration": times, "loop": 0}
    write_image(folder / "animation.gif", first, save_all=True, **options)


def marked(
    picture: Image.Image,
    points: Sequence[Pair] = (),
    mask: Image.Image | None = None,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """Draws red handles, blue targets, white arrows from one to the other, and the mask.

    Args:
        picture: An RGB picture.
        points: Pairs of handle and target in pixels of a picture of ``size``.
        mask: Mode L, of the picture's size; what it leaves black is shown darker.
        size: (width, height) that ``points`` refer to; None is the picture's own.

    Returns:
        An RGB picture, enlarged by a whole number where it was small.
    """
    width, height = size or picture.size
    enlarge = max(1, math.ceil(LEAST / max(picture.size)))
    whole = picture.width * enlarge, picture.height * enlarge
    shown = (picture if mask is None else _darkened(picture, mask)).convert("RGB")
    shown = shown.resize(whole, Image.Resampling.NEAREST)
    draw, r = ImageDraw.Draw(shown), max(4, max(whole) // 80)
    ends = [
        [(_middle(x, whole[0] / width), _middle(y, whole[1] / height)) for x, y in pair]
        for pair in points
    ]
    for start, end in ends:
        _arrow(draw, start, end, r)
    for pair in ends:
        for (x, y), color in zip(pair, (HANDLE, TARGET), strict=True):
            draw.ellipse((x - r, y - r, x + r, y + r), color, ARROW)
    return shown


def _middle(place: float, enlarge: float) -> float:
    """The middle of the pixel that a place lies in."""
    return (math.floor(place) + 0.5) * enlarge


def _darkened(picture: Image.Image, mask: Image.Image) -> Image.Image:
    dark = np.asarray(picture, dtype=np.float32) * 0.55
    return Image.composite(picture, Image.fromarray(dark.astype(np.uint8)), mask)


def _arrow(
    draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], r: int
) -> None:
    draw.line((*start, *end), (30, 30, 30), r + 2)
    draw.line((*start, *end), ARROW, max(1, r - 1))
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    # The tip ends where the target's disc begins.
    tip = end[0] - r * math.cos(angle), end[1] - r * math.sin(angle)
    wings = [
        (tip[0] - 3 * r * math.cos(angle + turn), tip[1] - 3 * r * math.sin(angle + turn))
        for turn in (0.45, -0.45)
    ]
    draw.polygon([tip, *wings], ARROW, (30, 30, 30))
