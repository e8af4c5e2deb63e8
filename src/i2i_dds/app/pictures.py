"""Pictures on their way in, bounded, and on their way to the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from i2i_dds import UserError, open_picture

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MOST_PIXELS = 2**24
"""Of an upload."""

MOST_BYTES = 20 * 2**20
"""Of an upload."""

_SHOWN_SIDE = 448
"""Pixels that a small picture is enlarged to for the screen."""


def read_upload(path: str | Path, what: str = "picture") -> Image.Image:
    """An uploaded picture, upright and RGB.

    Args:
        path: Where the page's server has put it.
        what: What it is called in an error.

    Raises:
        UserError: It is of another kind, too large, or broken.
    """
    wanted = f"give a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture"
    if Path(path).stat().st_size > MOST_BYTES:
        raise UserError(f"{what}: it has more than {MOST_BYTES // 2**20} MB; give a smaller one")
    try:
        with Image.open(path, formats=FORMATS) as image:
            pixels = image.width * image.height
    except (OSError, ValueError, Image.DecompressionBombError):
        raise UserError(f"{what}: it cannot be read; {wanted}") from None
    if pixels > MOST_PIXELS:
        raise UserError(
            f"{what}: it has {pixels / 1e6:.0f} megapixels; "
            f"give one of at most {MOST_PIXELS / 1e6:.0f}"
        )
    return open_picture(path, what)


def working_size(size: tuple[int, int], native: int, factor: int) -> tuple[int, int] | None:
    """A size with the picture's shape and about the area that a teacher knows best.

    Args:
        size: (width, height) of the picture.
        native: Side of the teacher's own pictures.
        factor: Pixels along a latent cell's side.

    Returns:
        (width, height), or None where the picture is no larger than twice the teacher's own.
    """
    if max(size) <= 2 * native:
        return None
    scale = native / (size[0] * size[1]) ** 0.5
    width, height = (max(2, round(side * scale / factor)) * factor for side in size)
    return width, height


def shown(image: Image.Image) -> Image.Image:
    """A picture for the screen: a small one enlarged by a whole factor, smoothly."""
    factor = shown_factor(image.size)
    if factor == 1:
        return image
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)


def shown_factor(size: tuple[int, int]) -> int:
    """How many pixels of the screen's picture stand for one of the picture's own."""
    return max(1, _SHOWN_SIDE // max(size))


def read_mask(path: str | None, size: tuple[int, int]) -> Image.Image:
    """An uploaded mask: white may change.

    Args:
        path: Where the page's server has put it; None of none.
        size: (width, height) of the picture.

    Raises:
        UserError: There is none, it cannot be read, or it is of another size.
    """
    if not path:
        raise UserError("mask: there is none; drop a picture of it, or choose another mask")
    mask = read_upload(path, "mask")
    if mask.size != size:
        raise UserError(
            f"mask: it is {mask.width}x{mask.height} but its picture is {size[0]}x{size[1]}; "
            "give a mask of the picture's size"
        )
    return mask.convert("L")


def painted_mask(painting: dict[str, Any] | None, size: tuple[int, int]) -> Image.Image:
    """Where a person has painted, as a mask: white may change.

    Args:
        painting: What the page's brush gives: layers (H, W, 4) of bytes.
        size: (width, height) of the picture.

    Raises:
        UserError: Nothing is painted.
    """
    layers = (painting or {}).get("layers") or []
    painted = [np.asarray(layer)[..., 3] > 0 for layer in layers]
    if not any(layer.any() for layer in painted):
        raise UserError("mask: nothing is painted; paint what may change, or choose another mask")
    mask = Image.fromarray(np.logical_or.reduce(painted).astype(np.uint8) * 255)
    return mask.resize(size, Image.Resampling.NEAREST)
