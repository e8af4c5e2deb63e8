"""Whole pixels are read, whatever is wrong beside them; what is no picture is a BrokenPicture."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from i2i_dds.data import decoding
from i2i_dds.data.decoding import BrokenPicture, decode

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8))


def saved(image: Image.Image = PICTURE, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def with_chunk(made: bytes, before: bytes = b"IDAT") -> bytes:
    data = saved()
    at = data.index(before) - 4
    return data[:at] + made + data[at:]


def same(data: bytes) -> bool:
    return np.array_equal(np.asarray(decode(data)), np.asarray(PICTURE))


TEXTS = {
    "5 MB of text": chunk(b"tEXt", b"workflow\0" + b"x" * 5_000_000),
    "5 MB, compressed": chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"x" * 5_000_000)),
    "5 MB, international": chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(b"x" * 5_000_000)),
    "100 MB in many": chunk(b"tEXt", b"w\0" + b"x" * 10_000_000) * 10,
    "checksum": chunk(b"tEXt", b"a\0b", checksum=1),
    "no keyword": chunk(b"zTXt", b""),
    "unknown compression": chunk(b"zTXt", b"a\0\7xx"),
    "torn stream": chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 500)[:9]),
    "color profile": chunk(b"iCCP", b"p\0\0" + zlib.compress(b"x" * 5_000_000)),
    "no color profile": chunk(b"iCCP", b"p\0\0no zlib"),
    "short gamma": chunk(b"gAMA", b"\0"),
    "short resolution": chunk(b"pHYs", b"\0"),
    "no exif": chunk(b"eXIf", b"\0" * 8),
    "half an animation": chunk(b"acTL", b"\0"),
}


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("made", TEXTS.values(), ids=TEXTS)
def test_what_stands_beside_the_pixels_stops_no_picture(made: bytes, before: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(with_chunk(made, before))


def test_orientation_is_read_where_a_text_is_too_large() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(exif=exif)
    at = turned.index(b"IDAT") - 4
    text = TEXTS["5 MB, compressed"]
    assert decode(turned[:at] + text + turned[at:]).size == (4, 6)


@pytest.mark.parametrize("turn", range(0, 10))
def test_every_orientation_is_that_of_pillow(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    data = saved(exif=exif)
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(decode(data)), np.asarray(wanted))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame_and_that_is_said_once(kind: str, caplog) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime", "blue")]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    name = f"'a.{kind}'"
    assert decode(data, called=name).getpixel((0, 0)) == (255, 0, 0)
    assert f"{name} is animated; only its first frame is read" in caplog.text
    caplog.clear()
    decode(data, called=name)
    assert not caplog.text


def test_two_pictures_of_one_shot_are_no_animation(caplog) -> None:
    data = saved(PICTURE, "MPO", save_all=True, append_images=[PICTURE])
    assert decode(data).size == (6, 4) and not caplog.text


def test_the_limit_is_on_pixels_and_nothing_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # 24 are suspicious, 41 a bomb to Pillow
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(saved())
        monkeypatch.setattr(decoding, "MOST_PIXELS", 23)
        with pytest.raises(BrokenPicture, match="^it has more than 0 megapixels, which are not"):
            decode(saved())
        monkeypatch.setattr(decoding, "MOST_PIXELS", 99)
        with pytest.raises(BrokenPicture, match="megapixels"):
            decode(saved(PICTURE.resize((7, 7))))


@pytest.mark.slow
def test_a_picture_of_144_megapixels_is_read() -> None:
    data = saved(Image.new("RGB", (12_000, 12_000), "red"), compress_level=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data).size == (12_000, 12_000)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_half_a_picture_is_broken(kind: str) -> None:
    data = saved(PICTURE.resize((64, 64)), kind)
    for part in (data[: len(data) // 2], data[:20], b"", data[1:]):
        with pytest.raises(BrokenPicture):
            decode(part)
