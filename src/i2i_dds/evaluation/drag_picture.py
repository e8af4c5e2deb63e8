"""A picture with its handles, targets and mask drawn on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Pair = tuple[tuple[float, float], tuple[float, float]]

HANDLE, TARGET, ARROW = (228, 40, 48), (38, 92, 226), (255, 255, 255)
LEAST = 256
"""Longer sides are enlarged to at least this many pixels, so that the marks are legible."""


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
        for (x, y), colour in zip(pair, (HANDLE, TARGET), strict=True):
            draw.ellipse((x - r, y - r, x + r, y + r), colour, ARROW)
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
