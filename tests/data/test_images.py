import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_dds.data.images import fit, list_images, load_image, load_mask, to_pil, to_tensor
from i2i_dds.errors import UserError


def picture(width: int = 6, height: int = 4) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 100,000 pixels wide and high."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (head, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_load_image_reads_what_was_saved(tmp_path: Path, suffix: str) -> None:
    picture().save(tmp_path / f"a.{suffix}", lossless=True)
    assert np.array_equal(np.array(load_image(tmp_path / f"a.{suffix}")), np.array(picture()))


def test_load_image_lays_transparency_over_white_and_turns_upright(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 1), (10, 20, 30, 0)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)
    assert load_image(tmp_path / "a.png", ground="black").getpixel((0, 0)) == (0, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture(6, 4).save(tmp_path / "b.png", exif=exif)
    assert load_image(tmp_path / "b.png").size == (4, 6)


def test_load_image_scales_16_bit_grey(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 128 * 257, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert [load_image(tmp_path / "a.png").getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "PNG, JPEG, WEBP or BMP"),
        (b"GIF89a" + bytes(40), "cannot be read as a picture"),
        (bomb(), "more than 179 megapixels"),
    ],
    ids=["empty", "eps", "gif", "bomb"],
)
def test_load_image_refuses_other_content(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=f"^image: '.*a.png' .*{message}"):
        load_image(tmp_path / "a.png")


def test_load_image_refuses_a_cut_file(tmp_path: Path) -> None:
    picture(64, 64).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    with pytest.raises(UserError, match="cannot be read as a picture"):
        load_image(tmp_path / "a.png")


def test_load_image_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="input: '.*/a.png' does not exist"):
        load_image(tmp_path / "a.png", argument="input")
    with pytest.raises(UserError, match="is a folder"):
        load_image(tmp_path)


def test_list_images_of_file_folder_and_list(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    a, b = tmp_path / "a.jpg", tmp_path / "b.PNG"
    assert list_images(tmp_path) == [a, b]
    assert list_images(str(a)) == [a]
    assert list_images([str(b), tmp_path]) == [b, a, b]


def test_what_is_passed_over_in_a_folder_is_named_once(tmp_path: Path, caplog) -> None:
    names = ("a.png", "b.tif", "c.jfif", "d.heic", "e", "f.gif", "a.txt", "metadata.jsonl")
    for name in (*names, ".g.png", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "more").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.png")
    others = ["b.tif", "c.jfif", "d.heic", "e", "f.gif", "gone.png", "more/", "pipe.png"]
    assert list_images(tmp_path) == list_images(tmp_path) == [tmp_path / "a.png"]
    assert [record.getMessage() for record in caplog.records] == [
        f"image: of '{tmp_path}' are passed over: 8 ({str(others)[1:-1]})"
    ]


def test_list_images_refuses_nothing(tmp_path: Path) -> None:
    for source, message in [(tmp_path, "holds no picture"), (tmp_path / "x", "does not exist")]:
        with pytest.raises(UserError, match=f"image: .*{message}"):
            list_images(source)
    with pytest.raises(UserError, match="image: an empty list"):
        list_images([])


def test_load_mask_wants_its_pictures_size(tmp_path: Path) -> None:
    Image.new("1", (6, 4), 1).save(tmp_path / "m.png")
    assert to_tensor(load_mask(tmp_path / "m.png", (6, 4))).equal(torch.ones(1, 4, 6))
    with pytest.raises(UserError, match="mask: '.*m.png' is 6x4 but its picture is 4x6"):
        load_mask(tmp_path / "m.png", (4, 6))


def test_fit_leaves_a_fitting_picture_alone() -> None:
    image = picture(16, 8)
    assert fit(image, 8) is image and fit(image, 8, (16, 8)) is image


def test_fit_never_changes_a_picture_unless_told() -> None:
    with pytest.raises(UserError, match="size: the picture is 17x8, wanted is 16x8"):
        fit(picture(17, 8), 8)
    with pytest.raises(UserError, match="size: the picture is 16x8, wanted is 8x8"):
        fit(picture(16, 8), 8, 8)


def test_fit_resizes_to_the_nearest_multiple_or_the_size() -> None:
    assert fit(picture(19, 21), 8, mode="resize").size == (16, 24)
    assert fit(picture(3, 3), 8, mode="resize").size == (8, 8)
    assert fit(picture(19, 21), 8, 16, mode="resize").size == (16, 16)


def test_fit_crops_the_middle() -> None:
    values = np.array(fit(picture(18, 10), 8, mode="crop"))
    assert np.array_equal(values, np.array(picture(18, 10))[1:9, 1:17])
    wide = Image.fromarray(np.repeat(np.array([[0, 0, 9, 9, 9, 9, 0, 0]], np.uint8), 4, axis=0))
    assert np.array(fit(wide, 4, 4, mode="crop")).tolist() == [[9] * 4] * 4
    with pytest.raises(UserError, match="less than one step of 8"):
        fit(picture(18, 7), 8, mode="crop")


@pytest.mark.parametrize("size", [12, 0, -8, (8, 4), (8,)])
def test_fit_refuses_sizes_that_are_no_multiple(size: object) -> None:
    with pytest.raises(UserError, match="size: .* give positive multiples of 8"):
        fit(picture(16, 16), 8, size, mode="resize")  # type: ignore[arg-type]


def test_fit_refuses_an_unknown_mode() -> None:
    with pytest.raises(UserError, match="'pad' is unknown"):
        fit(picture(), 1, mode="pad")


def test_a_mask_gets_no_new_levels_when_resized() -> None:
    mask = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).resize((9, 9), 0)
    assert set(np.unique(np.array(fit(mask, 8, 16, "resize")))) == {0, 255}


def test_tensors_and_pictures_round_trip() -> None:
    x = to_tensor(picture())
    assert x.shape == (3, 4, 6) and x.min() >= -1 and x.max() <= 1
    assert np.array_equal(np.array(to_pil(x)), np.array(picture()))
    ends = to_tensor(Image.fromarray(np.array([[[0, 255, 0]]], np.uint8)))
    assert ends.flatten().tolist() == [-1, 1, -1]
    outside = torch.tensor([-3.0, 2.0, float("nan")]).reshape(3, 1, 1)
    assert to_pil(outside).getpixel((0, 0)) == (0, 255, 0)
    grey = torch.tensor([[[0.0, 1.0]]])
    assert to_tensor(to_pil(grey)).equal(grey)


def test_a_picture_with_broken_exif_is_read_as_it_lies(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), "red").save(tmp_path / "a.png", exif=b"Exif\x00\x00nonsense")
    assert load_image(tmp_path / "a.png").size == (3, 2)
