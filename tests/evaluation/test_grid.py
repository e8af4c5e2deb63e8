import pytest
import torch
from PIL import Image

from i2i_dds.evaluation.grid import difference, grid


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
