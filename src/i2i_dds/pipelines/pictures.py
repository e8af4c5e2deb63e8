"""Pictures and masks as people have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor

from i2i_dds.data.decoding import to_rgb, upright
from i2i_dds.data.images import load_image, load_mask, to_pil
from i2i_dds.data.masks import as_mask
from i2i_dds.errors import UserError

Picture: TypeAlias = "Image.Image | str | Path | np.ndarray[Any, Any] | Tensor"
"""A PIL image; a file; an array (H, W) or (H, W, 3), of bytes or of floats in [0, 1]; or a tensor
(3, H, W) in [-1, 1] (a mask: (1, H, W) in [0, 1])."""

Size: TypeAlias = "int | Sequence[int] | None"
"""Side of a square, (width, height), or None: the picture's own."""


def one_for_each(values: Sequence[Any], count: int, argument: str) -> list[Any]:
    """``values``, or its only entry ``count`` times.

    Raises:
        UserError: There are neither one nor ``count``.
    """
    if len(values) not in (1, count):
        raise UserError(
            f"{argument}: {len(values)} are given for {count} pictures; give one, or one for each"
        )
    return list(values) if len(values) == count else list(values) * count


def open_picture(picture: Picture, argument: str = "images") -> Image.Image:
    """Any :data:`Picture` as an upright RGB image.

    Raises:
        UserError: A file that cannot be read, an array of another shape, or another type.
    """
    if isinstance(picture, Image.Image):
        if picture.mode == "F":
            raise UserError(
                f"{argument}: a PIL image of mode F is given, whose white is not known; "
                "give one of mode RGB, or an array of floats from 0 to 1"
            )
        return to_rgb(upright(picture), "white")
    if isinstance(picture, (str, Path)):
        return load_image(picture, argument)
    if isinstance(picture, Tensor):
        if picture.ndim != 3 or picture.shape[0] != 3:
            raise UserError(
                f"{argument}: a tensor of shape {tuple(picture.shape)} is no picture; "
                "give (3, H, W) in [-1, 1], or a list of such"
            )
        if not picture.is_floating_point() or not _within(picture, -1.0, 1.0):
            raise UserError(
                f"{argument}: a tensor of {picture.dtype} is given, or one beyond its range; "
                "give fractions in [-1, 1], such as 2 * x / 255 - 1 of bytes"
            )
        return to_pil(picture)
    return _from_array(picture, argument).convert("RGB")


def open_mask(mask: Picture, size: tuple[int, int], argument: str = "mask") -> Image.Image:
    """Any :data:`Picture` as a mask: an 8-bit gray image; white may change.

    Args:
        mask: A picture of the masked picture's size.
        size: (width, height) of that.
        argument: Named in an error.

    Raises:
        UserError: Unreadable, of another size, or of no shape of a mask.
    """
    if isinstance(mask, (str, Path)):
        return load_mask(mask, size, argument)
    if isinstance(mask, Image.Image):
        found = upright(mask)
    elif isinstance(mask, Tensor):
        if mask.ndim != 3 or mask.shape[0] != 1:
            raise UserError(
                f"{argument}: a tensor of shape {tuple(mask.shape)} is no mask; "
                "give (1, H, W) in [0, 1]"
            )
        found = to_pil(mask)
    else:
        found = _from_array(mask, argument)
    if found.size != tuple(size):
        raise UserError(
            f"{argument}: it is {found.width}x{found.height} but its picture is "
            f"{size[0]}x{size[1]}; give a mask of the picture's size"
        )
    return as_mask(found, f"{argument}: it")


def key_of(picture: Picture, number: int) -> str:
    """What seeds a picture's noise: its file's name, or where it has none its place in the call."""
    name = getattr(picture, "filename", None) if isinstance(picture, Image.Image) else picture
    return Path(name).name if isinstance(name, (str, Path)) and str(name) else str(number)


def restore(x: Tensor, size: tuple[int, int]) -> Image.Image:
    """An edited picture x (3, H, W) in [-1, 1] as an image of (width, height) ``size``."""
    image = to_pil(x)
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _within(tensor: Tensor, low: float, high: float) -> bool:
    """Whether all is a number in [low, high], up to rounding."""
    slack = 1e-3
    return bool(((tensor >= low - slack) & (tensor <= high + slack)).all())


def _from_array(array: Any, argument: str) -> Image.Image:
    if not isinstance(array, np.ndarray):
        raise UserError(
            f"{argument}: a {type(array).__name__} is no picture; "
            "give a PIL image, a file, an array or a tensor, or a list of them"
        )
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if not shape_fits:
        raise UserError(
            f"{argument}: an array of shape {array.shape} is no picture; give (H, W) or (H, W, 3)"
        )
    if array.size == 0:
        raise UserError(f"{argument}: an array of shape {array.shape} holds no pixel")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating) or not (
            array.min() >= 0 and array.max() <= 1
        ):
            raise UserError(
                f"{argument}: an array of {array.dtype} is given; give bytes, or floats from 0 to 1"
            )
        array = (array * 255).round().astype(np.uint8)
    return Image.fromarray(array)
