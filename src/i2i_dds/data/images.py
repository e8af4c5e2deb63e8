"""Picture files: reading them with care, sizes a VAE can take, and the way to tensors and back.

Pillow recognizes a file by its first bytes, whatever its name: a `.png` can be an EPS program or a
decompression bomb. So the formats are restricted and Pillow's pixel limit is left in force.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from i2i_dds.errors import UserError

log = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MODES = ("error", "resize", "crop")


def decode(data: bytes, ground: str = "white") -> Image.Image:
    """A picture file's bytes -> RGB, upright, transparency laid over the color `ground`.

    Raises:
        OSError, ValueError, Image.DecompressionBombError: not a whole picture of `FORMATS`.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        image.load()
    except SyntaxError as error:  # what Pillow raises for some broken headers
        raise OSError(str(error)) from error
    return to_rgb(upright(image), ground)


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; where that is broken, as it is."""
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, OSError, struct.error):  # what Pillow raises for such
        return image


def load_image(path: str | Path, argument: str = "image", ground: str = "white") -> Image.Image:
    """The picture in a file, as RGB.

    Args:
        path: a PNG, JPEG, WebP or BMP file.
        argument: what the caller calls it, for errors.
        ground: the color under what is transparent.

    Raises:
        UserError: the file is missing, unreadable, too large or of another format.
    """
    data = _read(Path(path), argument)
    try:
        return decode(data, ground)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error) if isinstance(error, Image.DecompressionBombError) else ""
        raise UserError(
            f"{argument}: '{path}' cannot be read as a picture{reason and f' ({reason})'}; "
            f"give a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file"
        ) from error


def load_mask(path: str | Path, size: tuple[int, int], argument: str = "mask") -> Image.Image:
    """The mask in a file, as an 8-bit gray picture; white may change, black stays.

    What is transparent stays too, so that white paint on an empty layer is a mask.

    Args:
        path: a picture file.
        size: (width, height) of the picture it belongs to, as that is in its own file.
        argument: what the caller calls it, for errors.

    Raises:
        UserError: unreadable, or of another size.
    """
    mask = load_image(path, argument, ground="black").convert("L")
    if mask.size != tuple(size):
        raise UserError(
            f"{argument}: '{path}' is {_shape(mask.size)} but its picture is {_shape(size)}; "
            "give a mask of the picture's size"
        )
    return full_range(mask, f"{argument}: '{path}'")


def full_range(mask: Image.Image, called: str) -> Image.Image:
    """A mask whose white is white: one of two levels, such as labels of 0 and 1, is spread out.

    Args:
        mask: An 8-bit gray picture.
        called: What to call it in a note or an error.

    Raises:
        UserError: It has several levels, of which none is above the middle: white, which may
            change, is not to be told from what may change a little.
    """
    levels = [level for level, count in enumerate(mask.histogram()) if count]
    lowest, highest = levels[0], levels[-1]
    if highest in (0, 255) or (len(levels) > 2 and highest >= 128):
        return mask
    if len(levels) == 1 or (len(levels) == 2 and lowest == 0):
        log.warning("%s has white at %d of 255; that is read as white", called, highest)
        return mask.point([255 if level == highest else 0 for level in range(256)])
    raise UserError(
        f"{called} has {len(levels)} levels, the brightest {highest} of 255; "
        "give one whose white, where the picture may change, is 255"
    )


def list_images(source: str | Path | Sequence[str | Path], argument: str = "image") -> list[Path]:
    """Paths of the pictures that a file, a folder (sorted by name) or a list of them names.

    Raises:
        UserError: something is missing, or no picture is found.
    """
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        if not path.is_dir():
            if not path.is_file():
                raise UserError(
                    f"{argument}: '{path}' does not exist; give a picture file or a folder"
                )
            return [path]
        _tell_of_others(path, argument)
        found = sorted(
            item
            for item in path.iterdir()
            if item.suffix.lower() in SUFFIXES and not item.name.startswith(".") and item.is_file()
        )
        if not found:
            raise UserError(f"{argument}: '{path}' holds no picture; wanted are files {SUFFIXES}")
        return found
    paths = [path for item in source for path in list_images(item, argument)]
    if not paths:
        raise UserError(
            f"{argument}: an empty list; give a picture file, a folder or a list of them"
        )
    return paths


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


def _tell_of_others(folder: Path, argument: str) -> None:
    """Names the pictures of a folder that are passed over for their format."""
    known = Image.registered_extensions()
    others = sorted(
        item.name
        for item in folder.iterdir()
        if item.suffix.lower() in known and item.suffix.lower() not in SUFFIXES
    )
    if others:
        log.warning(
            "%s: %d files of '%s' are passed over, for they are no %s: %s",
            argument,
            len(others),
            folder,
            ", ".join(FORMATS),
            ", ".join(others[:10]) + (", ..." if len(others) > 10 else ""),
        )


def _read(path: Path, argument: str) -> bytes:
    path = path.expanduser()
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{argument}: '{path}' does not exist; give a picture file") from None
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise UserError(f"{argument}: '{path}' {reason}; give a picture file") from error


def to_rgb(image: Image.Image, ground: str) -> Image.Image:
    """8-bit RGB of any mode, transparency laid over the color `ground`."""
    if image.mode.startswith("I"):  # 16-bit grey
        levels = np.asarray(image, dtype=np.float64) / 257
        return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        under = Image.new("RGBA", image.size, ground)
        return Image.alpha_composite(under, image).convert("RGB")
    return image.convert("RGB")


def _shape(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"
