"""From a picture file's bytes to pixels, with care.

Pillow recognizes a file by its first bytes, whatever its name: a `.png` can be an EPS program or a
decompression bomb. So formats and pixels are limited here. What stands beside the pixels (EXIF,
texts, color profiles) is not needed, so that a picture whose pixels are whole is read without it
where it is broken or too large.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from functools import lru_cache

import numpy as np
from PIL import Image

log = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MOST_PIXELS = 178_956_970
"""Of one picture, what Pillow takes for no bomb: as RGB half a gigabyte."""

_AT_ONCE = 2**22
"""Pixels that are brought to 8 bits at a time."""

_PNG = b"\x89PNG\r\n\x1a\n"
_NEEDED = (b"tRNS", b"eXIf")
"""Chunks of a PNG beside the critical ones: transparency, and which side is up."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BrokenPicture(ValueError):
    """Bytes that are no whole picture of `FORMATS`; the message says why, or is empty."""


def decode(data: bytes, ground: str = "white", called: str = "a picture") -> Image.Image:
    """A picture file's bytes -> RGB, upright, transparency laid over the color `ground`.

    Args:
        data: the bytes.
        ground: the color under what is transparent.
        called: what a note calls it, where only the first frame of an animation is read.

    Raises:
        BrokenPicture: not a whole picture of `FORMATS`, or of more than `MOST_PIXELS`.
    """
    return to_rgb(decode_raw(data, called), ground)


def decode_raw(data: bytes, called: str = "a picture") -> Image.Image:
    """As `decode`, in the file's own mode."""
    try:
        return upright(_opened(data, called))
    except (BrokenPicture, MemoryError):
        raise
    except Exception as error:  # any: Pillow lets through what its parsers stumble over
        plainer = _pixels_alone(data)
        if plainer == data:
            raise BrokenPicture("") from error
    try:
        return upright(_opened(plainer, called))
    except (BrokenPicture, MemoryError):
        raise
    except Exception as error:
        raise BrokenPicture("") from error


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; where that is broken, as it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # any: what Pillow stumbles over in it
        return image
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image, ground: str) -> Image.Image:
    """8-bit RGB of any mode, transparency laid over the color `ground`."""
    if image.mode.startswith("I"):  # 16-bit gray
        return to_8_bits(np.asarray(image), white=65535).convert("RGB")
    if has_alpha(image):
        image = image.convert("RGBA")
        under = Image.new("RGBA", image.size, ground)
        return Image.alpha_composite(under, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def to_8_bits(values: np.ndarray, white: float) -> Image.Image:
    """Levels (H, W) of any kind as 8-bit gray, those at least ``white`` as 255.

    Taken some rows at a time: a large picture in float32 would take many times its own memory.
    """
    levels = np.empty(values.shape, np.uint8)
    step = max(1, _AT_ONCE // max(1, values.shape[1]))
    for top in range(0, len(values), step):
        part = values[top : top + step].astype(np.float32) * (255 / white)
        levels[top : top + step] = part.round().clip(0, 255)
    return Image.fromarray(levels)


def has_alpha(image: Image.Image) -> bool:
    """Whether some of it may be transparent."""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _opened(data: bytes, called: str) -> Image.Image:
    """The first frame, loaded."""
    with warnings.catch_warnings():  # of Pillow: large pictures, broken EXIF
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError:
            raise BrokenPicture(_too_large()) from None
        if image.width * image.height > MOST_PIXELS:
            raise BrokenPicture(_too_large())
        if getattr(image, "is_animated", False) and image.format != "MPO":
            _tell(f"{called} is animated; only its first frame is read")
        image.load()
        if image.mode in ("P", "PA"):
            image.convert("RGBA")  # a transparency that does not fit shall be found here
    return image


def _too_large() -> str:
    return f"it has more than {MOST_PIXELS / 1e6:.0f} megapixels, which are not read"


@lru_cache(maxsize=4096)
def _tell(note: str) -> None:
    """Once: samples are read again in every epoch."""
    log.warning("%s", note)


def _pixels_alone(data: bytes) -> bytes:
    """A PNG without the chunks that its pixels do not need; anything else as it is."""
    if not data.startswith(_PNG):
        return data
    kept, at = [_PNG], len(_PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        critical = kind[:1].isupper()
        if critical or (kind in _NEEDED and _is_whole(data[at:end], length)):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _is_whole(chunk: bytes, length: int) -> bool:
    return len(chunk) == length + 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(
        chunk[-4:], "big"
    )
