"""Masks in each form that tools store them in: read as what they are, and said, or refused."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_dds.data import decoding
from i2i_dds.data.images import load_mask
from i2i_dds.data.masks import as_mask
from i2i_dds.errors import UserError

BOX = np.array([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], np.uint8)
WHITE = (BOX * 255).tolist()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def saved(image: Image.Image, path: Path, **options: object) -> list[list[int]]:
    """The mask as it comes back from its file."""
    image.save(path, **options)
    return np.asarray(load_mask(path, image.size)).tolist()


def palette(colors: list[tuple[int, int, int]], labels: np.ndarray = BOX) -> Image.Image:
    image = Image.fromarray(labels).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([level for color in colors for level in color])
    return image


def test_a_mask_painted_on_transparency_is_white_where_it_was_painted(tmp_path: Path) -> None:
    layer = Image.new("RGBA", (4, 4), (255, 255, 255, 0))
    layer.paste((255, 255, 255, 255), (0, 0, 2, 4))
    layer.save(tmp_path / "mask.png")
    assert np.array_equal(
        np.array(load_mask(tmp_path / "mask.png", (4, 4))), [[255, 255, 0, 0]] * 4
    )


def gray(path: Path, levels: list[int]) -> Path:
    Image.fromarray(np.array([levels], dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("levels", [[0, 1, 0], [0, 7, 7], [0, 127, 0], [1, 1, 1]])
def test_a_mask_of_labels_is_read_as_black_and_white_and_that_is_said(
    tmp_path: Path, caplog, levels: list[int]
) -> None:
    mask = load_mask(gray(tmp_path / "m.png", levels), (3, 1))
    assert np.asarray(mask).tolist() == [[255 if level else 0 for level in levels]]
    assert f"white at {max(levels)} of 255" in caplog.text


@pytest.mark.parametrize("levels", [[0, 255, 0], [0, 0, 0], [0, 100, 255], [3, 90, 252]])
def test_a_mask_with_white_or_of_many_levels_is_taken_as_it_is(
    tmp_path: Path, caplog, levels: list[int]
) -> None:
    mask = load_mask(gray(tmp_path / "m.png", levels), (3, 1))
    assert np.asarray(mask).tolist() == [levels] and not caplog.text


def test_a_weak_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has 3 levels, the brightest 60 of 255; give one whose"):
        load_mask(gray(tmp_path / "m.png", [0, 30, 60]), (3, 1))


@pytest.mark.parametrize(
    ("levels", "note"),
    [
        ([0, 100, 200], "no white, its brightest is 200 of"),
        ([30, 90, 255], "no black, its darkest"),
    ],
)
def test_a_mask_without_black_or_white_is_told(tmp_path: Path, caplog, levels, note: str) -> None:
    mask = load_mask(gray(tmp_path / "m.png", levels), (3, 1))
    assert np.asarray(mask).tolist() == [levels] and note in caplog.text


def test_one_bit(tmp_path: Path, said) -> None:
    image = Image.fromarray(BOX * 255).convert("1")
    assert saved(image, tmp_path / "m.png") == WHITE
    assert saved(image, tmp_path / "m.bmp") == WHITE
    assert not said.text


def test_palettes_of_black_and_white_in_any_order(tmp_path: Path, said) -> None:
    black, white = (0, 0, 0), (255, 255, 255)
    assert saved(palette([black, white]), tmp_path / "m.png") == WHITE
    assert saved(palette([white, black], 1 - BOX), tmp_path / "m.png") == WHITE
    assert not said.text


@pytest.mark.parametrize("color", [(128, 0, 0), (0, 0, 1), (255, 0, 0), (0, 0, 255)])
def test_one_label_in_color_on_black_is_white_and_that_is_said(tmp_path: Path, said, color) -> None:
    assert saved(palette([(0, 0, 0), color]), tmp_path / "m.png") == WHITE
    assert "read as white" in said.text


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (palette([(0, 0, 0), (128, 0, 0), (0, 128, 0)], BOX + BOX[::-1] * 2 % 3), "has colors"),
        (palette([(0, 255, 0), (255, 0, 0)]), "has colors"),
        (palette([(0, 0, 0), (0, 0, 0)]), "shows all its labels alike"),
        (Image.effect_noise((4, 3), 90).convert("HSV").convert("RGB"), ""),
        (Image.merge("RGBA", [Image.new("L", (4, 3))] * 3 + [Image.fromarray(BOX * 255)]), "black"),
    ],
    ids=["labels", "two colors", "blind palette", "noise", "black paint"],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, image: Image.Image, why: str) -> None:
    if not why:
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8))
        why = "has colors, as labels or photographs have; give one that is white where"
    with pytest.raises(UserError, match=f"^mask: '.*m.png' .*{why}"):
        saved(image, tmp_path / "m.png")


@pytest.mark.parametrize(("peak", "note"), [(65535, ""), (1, ""), (255, "255"), (1000, "1000")])
def test_two_levels_of_16_bits(tmp_path: Path, said, peak: int, note: str) -> None:
    assert saved(Image.fromarray(BOX.astype(np.uint16) * np.uint16(peak)), tmp_path / "m.png") == (
        WHITE
    )
    assert f"white at {note}; that is" in said.text if note else not said.text


def test_many_levels_of_16_bits(tmp_path: Path, said) -> None:
    deep = np.array([[0, 257, 65535]], np.uint16)
    assert saved(Image.fromarray(deep), tmp_path / "m.png") == [[0, 1, 255]] and not said.text
    assert saved(Image.fromarray(deep // 257), tmp_path / "m.png") == [[0, 1, 255]]
    assert "has 16 bits, of which 8 are used" in said.text
    with pytest.raises(UserError, match="the brightest 20 of 255"):
        saved(Image.fromarray(np.array([[0, 2500, 5041]], np.uint16)), tmp_path / "m.png")


def test_fractions(said) -> None:
    image = Image.fromarray(np.array([[0, 0.4, 1]], np.float32))
    assert np.asarray(as_mask(image, "mask: it")).tolist() == [[0, 102, 255]] and not said.text
    for wrong in (-1.0, float("nan")):
        with pytest.raises(UserError, match="^mask: it has values below 0"):
            as_mask(Image.fromarray(np.array([[0, wrong]], np.float32)), "mask: it")


def test_white_paint_on_an_empty_layer(tmp_path: Path, said) -> None:
    alpha = Image.fromarray(BOX * 255)
    white = Image.new("L", (4, 3), 255)
    assert saved(Image.merge("LA", [white, alpha]), tmp_path / "m.png") == WHITE
    assert saved(palette([(255, 255, 255)] * 2), tmp_path / "m.png", transparency=0) == WHITE
    assert not said.text


def test_an_inverted_mask_is_told_by_its_share(tmp_path: Path, said) -> None:
    assert saved(Image.fromarray(255 - BOX * 255), tmp_path / "m.png")[0][0] == 255
    assert "lets 67 % of the picture change; white may change" in said.text


def test_a_jpeg(tmp_path: Path, said) -> None:
    big = Image.fromarray(np.kron(BOX, np.ones((32, 32), np.uint8)) * 255)
    mask = np.array(saved(big, tmp_path / "m.jpg", quality=60))
    assert np.abs(mask - np.asarray(big).astype(int)).mean() < 2 and not said.text


def test_levels_are_brought_to_8_bits_some_rows_at_a_time_as_all_at_once(monkeypatch) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (7, 5)).astype(np.uint16)
    whole = (values / 257).round()
    for at_once in (1, 11, 10**6):
        monkeypatch.setattr(decoding, "_AT_ONCE", at_once)
        assert np.array_equal(np.asarray(decoding.to_8_bits(values, 65535)), whole)
    assert np.asarray(decoding.to_8_bits(np.array([[0.0, 0.5, 2.0]]), 1)).tolist() == [
        [0, 128, 255]
    ]
