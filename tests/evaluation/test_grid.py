import pytest
import torch
from PIL import Image, ImageFont

from i2i_dds.evaluation.grid import _cut, difference, grid


def test_every_picture_is_drawn_in_its_place() -> None:
    red, blue = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 4), "blue")
    sheet = grid({"source": [red, blue], "edit": [blue, red]}, ["a cat", "a dog " * 60], side=64)
    assert sheet.width == 6 + 2 * 70
    row = 64 + 6 + 16
    colors = [
        [sheet.getpixel((6 + 70 * column + 32, 22 + row * i + 32)) for column in range(2)]
        for i in range(2)
    ]
    assert colors == [[(255, 0, 0), (0, 0, 255)], [(0, 0, 255), (255, 0, 0)]]
    # 8 x 4 keeps its proportions
    assert sheet.getpixel((6 + 70 + 32, 22 + 2)) == (255, 255, 255)


def test_large_pictures_are_scaled_down() -> None:
    sheet = grid({"edit": [Image.new("L", (500, 300), 0)]}, side=50)
    assert sheet.size == (6 + 56, 6 + 16 + 56)


def test_columns_of_different_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        grid({"a": [], "b": [Image.new("RGB", (2, 2))]})


def test_difference_is_black_where_equal_and_white_at_the_most() -> None:
    x = torch.tensor([-1.0, 0.5, 1.0])
    assert difference(x, torch.tensor([1.0, 0.5, 0.0])).tolist() == [1.0, -1.0, 0.0]


class Measuring:
    """A font of letters one pixel wide, which counts the letters that it measures."""

    def __init__(self) -> None:
        self.calls = self.letters = 0

    def getlength(self, text: str) -> int:
        self.calls += 1
        self.letters += len(text)
        return len(text)


@pytest.mark.parametrize("length", [5_000, 5_000_000])
def test_a_long_text_is_cut_by_measuring_little_more_than_what_fits(length: int) -> None:
    font = Measuring()
    assert _cut("x" * length, font, 300) == "x" * 297 + "..."  # type: ignore[arg-type]
    assert font.calls < 20 and font.letters < 20 * 512


@pytest.mark.parametrize("text", ["", "cat", "a cat on a mat", "i" * 40, "W" * 40, "a  b\nc"])
@pytest.mark.parametrize("width", [1, 30, 80, 200])
def test_what_is_left_is_the_longest_beginning_that_fits(text: str, width: int) -> None:
    font, line = ImageFont.load_default(size=12), " ".join(text.split())
    beginnings = [line[:n] + "..." for n in range(len(line))]
    fit = [one for one in beginnings if font.getlength(one) <= width] or ["..."]
    expected = line if font.getlength(line) <= width else fit[-1]
    assert _cut(text, font, width) == expected
