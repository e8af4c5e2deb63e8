"""Handles and targets of a drag, clicked and drawn."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from i2i_dds.app.pictures import shown, shown_factor

Click = tuple[int, int]
"""A point (x, y) in pixels of the picture."""

HANDLE, TARGET, ARROW = (228, 40, 48), (38, 92, 226), (255, 255, 255)
MOST_CLICKS = 64


def clicked(at: Sequence[float], size: tuple[int, int]) -> Click:
    """The pixel of a picture for a click on what the screen shows of it.

    Args:
        at: (x, y) on :func:`i2i_dds.app.pictures.shown`.
        size: (width, height) of the picture.
    """
    factor = shown_factor(size)
    x, y = (min(max(int(at[axis]) // factor, 0), size[axis] - 1) for axis in (0, 1))
    return x, y


def pairs(clicks: Sequence[Click]) -> list[list[int]]:
    """Each handle with its target, (x, y, target x, target y); a handle without one is left out."""
    return [[*one, *other] for one, other in zip(clicks[::2], clicks[1::2], strict=False)]


def with_arrows(image: Image.Image, clicks: Sequence[Click]) -> Image.Image:
    """The picture for the screen with red handles, blue targets, and arrows between them."""
    factor, drawn = shown_factor(image.size), shown(image).copy()
    draw = ImageDraw.Draw(drawn)
    spots = [tuple(factor * value + factor // 2 for value in one) for one in clicks]
    radius = max(5, max(drawn.size) // 70)
    for start, end in zip(spots[::2], spots[1::2], strict=False):
        draw.line([start, end], fill=(0, 0, 0), width=radius // 2 + 3)
        draw.line([start, end], fill=ARROW, width=radius // 2 + 1)
    for number, (x, y) in enumerate(spots):
        box = x - radius, y - radius, x + radius, y + radius
        draw.ellipse(box, fill=TARGET if number % 2 else HANDLE, outline=ARROW, width=2)
    return drawn
