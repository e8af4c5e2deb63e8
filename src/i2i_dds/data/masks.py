"""Masks as tools store them, read as what they evidently are, and that is said; or refused.

White may change, black stays. Bits, labels of 0 and 1, palettes, one color on black, 16 bits and
paint on transparency are read. What could be meant in two ways is refused, for a mask that is
misread edits nothing, or everything, without a word.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from i2i_dds.data.decoding import has_alpha, to_8_bits, to_rgb
from i2i_dds.errors import UserError

log = logging.getLogger(__name__)

_GRAY = 24
"""Levels by which the channels of a gray pixel may differ, as they do in a JPEG."""

_NEARLY_BLACK, _NEARLY_WHITE = 5, 250
"""Levels that black and white have in a JPEG."""

_WANTED = "give one that is white where the picture may change and black elsewhere"


def as_mask(image: Image.Image, called: str) -> Image.Image:
    """A picture as an 8-bit gray mask whose white is white.

    Args:
        image: Of any mode.
        called: What to call it in a note or an error, such as "mask: 'a.png'".

    Raises:
        UserError: It has several colors or is weak throughout, so that what may change is not to
            be told from what may not.
    """
    deep = image.mode.startswith("I") or image.mode == "F"
    mask = _deep(np.asarray(image), called) if deep else full_range(_gray(image, called), called)
    share = np.asarray(mask).mean() / 255
    if share > 0.5:  # as one has that is inverted
        log.info("%s lets %.0f %% of the picture change; white may change", called, 100 * share)
    return mask


def full_range(mask: Image.Image, called: str) -> Image.Image:
    """A gray mask whose white is white: one of two levels, such as labels of 0 and 1, is spread.

    Args:
        mask: An 8-bit gray picture.
        called: What to call it in a note or an error.

    Raises:
        UserError: It has several levels, of which none is above the middle: white, which may
            change, is not to be told from what may change a little.
    """
    levels = [level for level, count in enumerate(mask.histogram()) if count]
    lowest, highest = levels[0], levels[-1]
    if len(levels) > 1 and lowest > _NEARLY_BLACK:
        log.warning(
            "%s has no black, its darkest is %d of 255; so all of the picture may change, "
            "more or less",
            called,
            lowest,
        )
    if highest in (0, 255):
        return mask
    if len(levels) == 1 or (len(levels) == 2 and lowest == 0):
        log.warning("%s has white at %d of 255; that is read as white", called, highest)
        return mask.point([255 if level == highest else 0 for level in range(256)])
    if highest < 128:
        raise UserError(
            f"{called} has {len(levels)} levels, the brightest {highest} of 255; "
            "give one whose white, where the picture may change, is 255"
        )
    if highest < _NEARLY_WHITE:
        log.warning(
            "%s has no white, its brightest is %d of 255; so the edit is weaker everywhere",
            called,
            highest,
        )
    return mask


def _deep(values: np.ndarray, called: str) -> Image.Image:
    """A gray mask of more than 8 bits, or of fractions."""
    if not np.isfinite(values).all() or values.min() < 0:
        raise UserError(f"{called} has values below 0, or that are no numbers; {_WANTED}")
    low, high = float(values.min()), float(values.max())
    middle = ((values > low) & (values < high)).any()
    if not middle and low == 0 and high > 0:
        if high not in (1.0, 65535.0):
            log.warning("%s has white at %g; that is read as white", called, high)
        return Image.fromarray((values > 0).astype(np.uint8) * np.uint8(255))
    fractions = values.dtype.kind == "f" and high <= 1
    peak = 1 if fractions else 255 if high <= 255 else 65535
    if peak == 255:
        log.warning("%s has 16 bits, of which 8 are used; 255 is read as white", called)
    return full_range(to_8_bits(values, white=peak), called)


def _gray(image: Image.Image, called: str) -> Image.Image:
    """The mask's levels; of one color on black, white where that color is."""
    if image.mode in ("1", "L") and not has_alpha(image):
        return image.convert("L")
    shown = to_rgb(image, "black")
    if image.mode == "P" and _alike(image, shown):
        raise UserError(f"{called} has a palette that shows all its labels alike; {_WANTED}")
    if has_alpha(image) and shown.getbbox() is None and _alpha_varies(image):
        raise UserError(
            f"{called} is painted in black on a transparent ground, which stays as black does; "
            f"{_WANTED}"
        )
    darkest, brightest = _extremes(shown)
    colors: list[Any] = [color for _, color in shown.getcolors(2) or []]  # none of more
    bright = [color for color in colors if any(color)]
    if len(bright) == 1 and min(bright[0]) < max(bright[0]):
        log.warning("%s has the color %s on black; that is read as white", called, bright[0])
        return brightest.point([0] + [255] * 255)
    if any(ImageChops.subtract(brightest, darkest).histogram()[_GRAY + 1 :]):
        raise UserError(f"{called} has colors, as labels or photographs have; {_WANTED}")
    return shown.convert("L")


def _extremes(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The least and the greatest channel of each pixel of an RGB picture."""
    red, green, blue = image.split()
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    return darkest, ImageChops.lighter(ImageChops.lighter(red, green), blue)


def _alike(image: Image.Image, shown: Image.Image) -> bool:
    """Whether several entries of a palette are used, and all are shown in one color."""
    return len(image.getcolors() or []) > 1 and len(shown.getcolors(1) or []) == 1


def _alpha_varies(image: Image.Image) -> bool:
    low, high = image.convert("RGBA").getchannel("A").getextrema()
    return low != high
