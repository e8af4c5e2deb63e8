"""Picture files: reading them with care, sizes a VAE can take, and the way to tensors and back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from i2i_dds.data.decoding import FORMATS, BrokenPicture, decode_raw, to_rgb
from i2i_dds.data.masks import as_mask
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded, is_text, read_file

log = logging.getLogger(__name__)

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_WORDS = (".txt", ".json", ".jsonl", ".csv", ".md", ".yaml", ".yml", ".caption")
_MADE_BY_SYSTEMS = ("Thumbs.db", "desktop.ini")
MODES = ("error", "resize", "crop")
PICTURES_WANTED = f"wanted are files {SUFFIXES}"


def load_image(path: str | Path, argument: str = "image", ground: str = "white") -> Image.Image:
    """The picture in a file, as RGB.

    Args:
        path: a PNG, JPEG, WebP or BMP file.
        argument: what the caller calls it, for errors.
        ground: the color under what is transparent.

    Raises:
        UserError: the file is missing, unreadable, too large or of another format.
    """
    return to_rgb(_load_raw(path, argument), ground)


def load_mask(path: str | Path, size: tuple[int, int], argument: str = "mask") -> Image.Image:
    """The mask in a file, as an 8-bit gray picture; white may change, black stays.

    What is transparent stays too, so that white paint on an empty layer is a mask. See `masks`
    for what else is read.

    Args:
        path: a picture file.
        size: (width, height) of the picture it belongs to, as that is in its own file.
        argument: what the caller calls it, for errors.

    Raises:
        UserError: unreadable, of another size, or not evidently a mask.
    """
    mask = _load_raw(path, argument)
    if mask.size != tuple(size):
        raise UserError(
            f"{argument}: '{path}' is {_shape(mask.size)} but its picture is {_shape(size)}; "
            "give a mask of the picture's size"
        )
    return as_mask(mask, f"{argument}: '{path}'")


def _load_raw(path: str | Path, argument: str) -> Image.Image:
    """The picture in a file, upright, in its own mode."""
    data = read_file(path, argument, "a picture file")
    try:
        return decode_raw(data, f"{argument}: '{path}'")
    except BrokenPicture as error:
        reason = str(error)
        raise UserError(
            f"{argument}: '{path}' cannot be read as a picture{reason and f' ({reason})'}; "
            f"give a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
        ) from error


def list_images(source: str | Path | Sequence[str | Path], argument: str = "image") -> list[Path]:
    """Paths of the pictures that a file, a folder (sorted by name) or a list of them names.

    Raises:
        UserError: something is missing, or no picture is found.
    """
    if isinstance(source, (str, Path)):
        path = expanded(source)
        if path.is_file():
            return [path]
        if not path.is_dir():
            what = "is no regular file" if path.exists() else "does not exist"
            raise UserError(f"{argument}: '{path}' {what}; give a picture file or a folder")
        found, others, folders = _sorted_out(path)
        _tell_of(path, [*others, *(f"{inner.name}/" for inner in folders)], argument)
        if not found:
            raise UserError(f"{argument}: '{path}' holds no picture; {PICTURES_WANTED}")
        return found
    paths = [path for item in source for path in list_images(item, argument)]
    if not paths:
        raise UserError(
            f"{argument}: an empty list; give a picture file, a folder or a list of them"
        )
    return paths


def pictures_and_folders(folder: Path, argument: str = "path") -> tuple[list[Path], list[Path]]:
    """The pictures of a folder and the folders in it, sorted by name; what else is there is told.

    Hidden folders are not among them, nor links to folders, which may lead in circles.
    """
    pictures, others, folders = _sorted_out(folder)
    linked = [inner for inner in folders if inner.is_symlink()]
    _tell_of(folder, [*others, *(f"{inner.name}/" for inner in linked)], argument)
    return pictures, [inner for inner in folders if inner not in linked]


def fit(
    image: Image.Image,
    vae_scale_factor: int,
    size: int | Sequence[int] | None = None,
    mode: str = "error",
    argument: str = "size",
) -> Image.Image:
    """`image` at a size that a VAE with this factor takes.

    Args:
        image: any picture (or mask: grey ones are resized without new grey levels).
        vae_scale_factor: the VAE's factor; both sides of the result are multiples of it.
        size: the wanted side of a square, or (width, height); None keeps the picture's own, to
            the nearest (resize) or next smaller (crop) multiple.
        mode: "error" refuses to change the picture; "resize" stretches it to the size; "crop"
            scales it to cover the size, then cuts the middle.
        argument: what the caller calls it, for errors.

    Raises:
        UserError: a size that is no multiple of `vae_scale_factor`, or any needed change in mode
            "error".
    """
    if mode not in MODES:
        raise UserError(
            f"{argument}: resizing mode {mode!r} is unknown; it is one of {list(MODES)}"
        )
    wanted = _wanted(image.size, vae_scale_factor, size, mode, argument)
    if wanted == image.size:
        return image
    if mode == "error":
        raise UserError(
            f"{argument}: the picture is {_shape(image.size)}, wanted is {_shape(wanted)} "
            f"(multiples of {vae_scale_factor}); let it be resized or cropped"
        )
    filter_ = Image.Resampling.NEAREST if image.mode == "L" else Image.Resampling.LANCZOS
    if mode == "resize":
        return image.resize(wanted, filter_)
    if size is None:
        left, top = ((have - want) // 2 for have, want in zip(image.size, wanted, strict=True))
        return image.crop((left, top, left + wanted[0], top + wanted[1]))
    return ImageOps.fit(image, wanted, filter_)


def fit_mask(
    mask: Image.Image, vae_scale_factor: int, size: int | Sequence[int] | None, mode: str
) -> Image.Image:
    """A mask at the size that `fit` gives its picture.

    Raises:
        UserError: as `fit` does, or nothing of its white part is left.
    """
    fitted = fit(mask, vae_scale_factor, size, mode)
    if mask.getbbox() and not fitted.getbbox():
        raise UserError(
            f"mask: nothing of its white part is left at {_shape(fitted.size)}; "
            "give a larger one, or a larger size"
        )
    return fitted


def to_tensor(image: Image.Image) -> Tensor:
    """Picture -> (3, H, W) in [-1, 1]; a grey one -> (1, H, W) in [0, 1], as masks are used."""
    array = np.array(image if image.mode == "L" else image.convert("RGB"), dtype=np.float32)
    if array.ndim == 2:
        return torch.from_numpy(array)[None] / 255
    return torch.from_numpy(array).permute(2, 0, 1).contiguous() / 127.5 - 1


def to_pil(x: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1], clamped -> RGB picture; (1, H, W) in [0, 1] -> grey. NaN is black."""
    x = x.detach().to("cpu", torch.float32)
    levels = x * 255 if x.shape[0] == 1 else (x + 1) * 127.5
    array = levels.nan_to_num(0.0).round().clamp(0, 255).to(torch.uint8).numpy()
    return Image.fromarray(array[0] if x.shape[0] == 1 else array.transpose(1, 2, 0))


def _wanted(
    have: tuple[int, int],
    vae_scale_factor: int,
    size: int | Sequence[int] | None,
    mode: str,
    argument: str,
) -> tuple[int, int]:
    if size is not None:
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or any(side <= 0 or side % vae_scale_factor for side in sides):
            raise UserError(
                f"{argument}: {size} is not allowed; give positive multiples of {vae_scale_factor}"
            )
        return sides[0], sides[1]
    if mode == "crop":
        multiples = tuple(side // vae_scale_factor for side in have)
    else:
        multiples = tuple((side + vae_scale_factor // 2) // vae_scale_factor for side in have)
    if mode != "error" and min(multiples) == 0 and mode == "crop":
        raise UserError(
            f"{argument}: the picture is {_shape(have)}, less than one step of {vae_scale_factor}"
        )
    return max(multiples[0], 1) * vae_scale_factor, max(multiples[1], 1) * vae_scale_factor


def shown_names(names: Sequence[str], most: int = 10) -> str:
    """How many there are and what the first are called: ``2 (a.tif, b.gif)``."""
    rest = ", ..." if len(names) > most else ""
    return f"{len(names)} ({', '.join(map(repr, names[:most]))}{rest})"


def _sorted_out(folder: Path) -> tuple[list[Path], list[str], list[Path]]:
    """The pictures of a folder, the names of what may have been meant as one, and its folders.

    Hidden files and files of words are neither.
    """
    found, others, folders = [], [], []
    for item in sorted(folder.iterdir()):
        suffix = item.suffix.lower()
        if item.name.startswith(".") or item.name in _MADE_BY_SYSTEMS:
            continue
        if item.is_dir():
            folders.append(item)
        elif suffix in SUFFIXES and item.is_file() and is_text(item.name):
            found.append(item)
        elif suffix not in _WORDS:
            others.append(item.name)
    return found, others, folders


def _tell_of(folder: Path, names: Sequence[str], argument: str) -> None:
    if names:
        _tell(f"{argument}: of '{folder}' are passed over: {shown_names(sorted(names))}")


@lru_cache(maxsize=4096)
def _tell(note: str) -> None:
    """Once: a folder is listed before anything is loaded, and again."""
    log.warning("%s", note)


def _shape(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
