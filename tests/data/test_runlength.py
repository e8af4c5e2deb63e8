"""Runs of a mask, counted by hand."""

import numpy as np
import pytest
from PIL import Image

from i2i_dds.data.runlength import bordered, decode_runs, encode_runs
from i2i_dds.errors import UserError

SIZE = (4, 3)  # width, height: pixels 0 to 11


def rows(mask: Image.Image) -> list[list[int]]:
    assert mask.mode == "L"
    return (np.asarray(mask) // 255).tolist()


def test_runs_go_row_by_row_and_over_the_end_of_a_row():
    assert rows(decode_runs([1, 2, 7, 3], SIZE)) == [[0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]]
    assert rows(decode_runs([], SIZE)) == [[0] * 4] * 3
    assert rows(decode_runs([0, 12], SIZE)) == [[1] * 4] * 3


def test_runs_may_overlap_be_empty_and_pass_the_end():
    assert rows(decode_runs([1, 2, 2, 2, 5, 0], SIZE)) == [[0, 1, 1, 1], [0] * 4, [0] * 4]
    assert rows(decode_runs([10, 10**30], SIZE)) == [[0] * 4, [0] * 4, [0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (None, "None is not allowed; give a list"),
        ("0 1", "'0 1' is not allowed"),
        ([0, 1, 2], "3 numbers; give a length after each start"),
        ([0, 1.0], r"1\.0 is not allowed"),
        ([True, 1], "True is not allowed"),
        ([0, -1], "-1 is not allowed"),
        ([-1, 1], "-1 is not allowed"),
        ([[0, 1], [2, 3]], r"\[0, 1\] is not allowed"),
        ([12, 1], "begins at 12, outside the picture; give starts below 4 x 3 = 12"),
    ],
)
def test_other_lists_are_refused(runs, message):
    with pytest.raises(UserError, match=f"^mask: .*{message}") as error:
        decode_runs(runs, SIZE)
    assert "\n" not in str(error.value)


def test_encoded_runs_are_those_of_the_pixels():
    mask = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]], dtype=np.uint8) * 255
    assert encode_runs(Image.fromarray(mask)) == [0, 1, 3, 2, 10, 2]
    assert encode_runs(Image.new("L", SIZE)) == []
    assert encode_runs(Image.new("L", SIZE, 255)) == [0, 12]


def test_any_mask_comes_back():
    for _ in range(20):
        array = (np.random.rand(7, 5) < 0.5).astype(np.uint8) * 255
        runs = encode_runs(Image.fromarray(array))
        assert np.array_equal(decode_runs(runs, (5, 7)), array)


def test_a_border_is_one_pixel_wide():
    assert rows(bordered(Image.new("L", (4, 3)))) == [[1] * 4, [1, 0, 0, 1], [1] * 4]
    assert rows(bordered(Image.new("L", (1, 1)))) == [[1]]
