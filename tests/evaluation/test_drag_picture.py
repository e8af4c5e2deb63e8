"""Marks are drawn where they belong, large enough to be seen."""

import pytest
from PIL import Image

from i2i_dds.evaluation.drag_picture import ARROW, HANDLE, TARGET, marked

GREEN = (0, 100, 0)


@pytest.mark.parametrize(("points_of", "scale"), [(None, 1), ((200, 100), 2)])
def test_handle_target_and_arrow_are_where_they_belong(points_of, scale: int) -> None:
    """In pixels of the picture, or of a larger one that it was made from."""
    picture = Image.new("RGB", (100, 50), GREEN)
    pair = ((10 * scale, 20 * scale), (80 * scale, 30 * scale))
    shown = marked(picture, [pair], size=points_of)
    assert shown.size == (300, 150)  # by the whole number that brings 100 to 256 or more
    assert shown.getpixel((31, 61)) == HANDLE and shown.getpixel((241, 91)) == TARGET
    assert shown.getpixel((136, 76)) == ARROW  # half way
    assert shown.getpixel((136, 30)) == GREEN


def test_fractions_belong_to_the_pixel_that_they_lie_in() -> None:
    picture = Image.new("RGB", (64, 64), GREEN)
    whole, between = [
        marked(picture, [((10 + part, 20 + part), (40 + part, 20 + part))]) for part in (0, 0.9)
    ]
    assert whole.tobytes() == between.tobytes()


def test_what_must_not_change_is_darker() -> None:
    mask = Image.new("L", (400, 300), 0)
    mask.paste(255, (0, 0, 200, 300))
    shown = marked(Image.new("RGB", (400, 300), (0, 100, 0)), mask=mask)
    assert shown.size == (400, 300)
    assert shown.getpixel((100, 100)) == (0, 100, 0) and shown.getpixel((300, 100)) == (0, 55, 0)


@pytest.mark.parametrize("size", [(16, 16), (64, 40), (512, 512), (2000, 300)])
def test_marks_are_a_hundredth_of_the_longer_side_at_least(size) -> None:
    width, height = size
    shown = marked(Image.new("RGB", size, GREEN), [((width // 2, height // 2), (0, 0))])
    assert max(shown.size) >= 256
    row = round(shown.height * (height // 2 + 0.5) / height)
    red = sum(shown.getpixel((x, row)) == HANDLE for x in range(shown.width))
    assert red >= max(shown.size) / 100
