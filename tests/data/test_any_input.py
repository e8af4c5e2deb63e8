"""Right values for any points, runs, masks, captions, prompts and names, not for a few alone."""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image

from i2i_dds.data.brackets import with_brackets, without_brackets
from i2i_dds.data.dragbench import check_points
from i2i_dds.data.folders import folder_samples
from i2i_dds.data.masks import as_mask
from i2i_dds.data.runlength import decode_runs, encode_runs
from i2i_dds.data.shards import Sample, Shards, write_shards
from i2i_dds.data.text import read_prompts
from i2i_dds.editing.handles import to_cells
from i2i_dds.errors import UserError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
"""Whole characters, those that end a line and those that no keyboard has among them."""

SIZE = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def pairs_in_a_picture(draw):
    width, height = draw(SIZE)
    x, y = (
        st.floats(0, side, exclude_max=True) | st.integers(0, side - 1) for side in (width, height)
    )
    rows = draw(st.lists(st.tuples(x, y, x, y), min_size=1, max_size=5))
    return (width, height), [list(row) for row in rows]


@given(pairs_in_a_picture())
def test_points_in_a_picture_come_back_as_they_are_and_lie_in_its_cells(given_: object) -> None:
    size, rows = given_  # type: ignore[misc]
    found = check_points(rows, size, "points")
    assert [[*handle, *target] for handle, target in found] == rows
    cells = to_cells(found, size, size)  # of one pixel each
    for (handle, target), (start, end) in zip(found, cells, strict=True):
        assert start == tuple(map(math.floor, handle)) and end == tuple(map(math.floor, target))


NO_PLACE = st.one_of(
    st.floats(max_value=0, exclude_max=True), st.floats(min_value=8), st.just(float("nan")),
    st.integers(max_value=-1), st.integers(min_value=8), st.booleans(), TEXT, st.none(),
    st.lists(st.integers(0, 7)),
)  # fmt: skip


@given(NO_PLACE, st.integers(0, 3))
def test_a_point_that_is_none_or_outside_is_refused(odd: object, place: int) -> None:
    row: list[object] = [1, 2, 3, 4]
    row[place] = odd
    with pytest.raises(UserError, match="^points"):
        check_points([row], (8, 8), "points")


@given(st.data(), SIZE)
def test_runs_mean_the_pixels_that_they_count(data: st.DataObject, size: tuple[int, int]) -> None:
    count = size[0] * size[1]
    run = st.tuples(st.integers(0, count - 1), st.integers(0, 2 * count))
    runs = [number for pair in data.draw(st.lists(run, max_size=6)) for number in pair]
    wanted = np.zeros(count, bool)
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        for pixel in range(start, min(start + length, count)):
            wanted[pixel] = True
    mask = decode_runs(runs, size)
    assert mask.size == size
    assert np.array_equal(np.asarray(mask).ravel(), wanted * np.uint8(255))
    assert np.array_equal(decode_runs(encode_runs(mask), size), mask)


BITS = st.tuples(SIZE, st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[1]).integers(0, 2, drawn[0][::-1], dtype=np.uint8)
)


@given(BITS, st.integers(1, 255), st.sampled_from(["L", "RGB", "RGBA", "LA", "P"]))
def test_labels_of_any_level_are_white_on_black(bits: np.ndarray, level: int, mode: str) -> None:
    image = Image.fromarray(bits * np.uint8(level))
    mask = as_mask(image.convert(mode) if mode != "P" else image, "mask")
    assert np.array_equal(np.asarray(mask), bits * np.uint8(255))


@given(BITS, st.integers(1, 65535))
def test_labels_of_16_bits_too(bits: np.ndarray, level: int) -> None:
    mask = as_mask(Image.fromarray(bits.astype(np.uint16) * np.uint16(level)), "mask")
    assert np.array_equal(np.asarray(mask), bits * np.uint8(255))


@example(np.ones((1, 1), np.uint8), (0, 0, 1))  # which is black where colors become gray
@given(BITS, st.tuples(*[st.integers(0, 255)] * 3).filter(any))
def test_one_color_on_black_is_white(bits: np.ndarray, color: tuple[int, int, int]) -> None:
    image = Image.fromarray(bits[..., None] * np.array(color, np.uint8))
    assert np.array_equal(np.asarray(as_mask(image, "mask")), bits * np.uint8(255))


@given(st.lists(st.tuples(TEXT, st.none() | st.dictionaries(TEXT, TEXT)), min_size=1, max_size=4))
def test_any_caption_comes_back_from_a_shard(words: list) -> None:
    image = Image.new("RGB", (2, 2))
    made = [Sample(key=f"k{i}", image=image, caption=c, scene=s) for i, (c, s) in enumerate(words)]
    with tempfile.TemporaryDirectory() as folder:
        write_shards(made, Path(folder) / "s", 2)
        found = [(sample["caption"], sample["scene"]) for sample in Shards(Path(folder) / "s")]
    assert found == words


@given(TEXT)
def test_any_caption_of_a_list_comes_back_without_the_space_around_it(caption: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (2, 2)).save(Path(folder) / "a.png")
        line = json.dumps({"file_name": "a.png", "text": caption}, ensure_ascii=False)
        (Path(folder) / "metadata.jsonl").write_bytes(line.encode())
        (sample,) = folder_samples(folder)
    assert sample["caption"] == caption.strip()


@given(st.lists(TEXT.filter(lambda text: not {"\r", "\n"} & {*text}), min_size=1, max_size=5),
       st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())  # fmt: skip
def test_any_prompts_come_back_line_by_line(prompts: list[str], end: str, mark: bool) -> None:
    wanted = [prompt.strip() for prompt in prompts if prompt.strip()]
    assume(wanted and not prompts[0].startswith("\ufeff"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.txt"
        path.write_bytes(end.join(prompts).encode("utf-8-sig" if mark else "utf-8"))
        assert read_prompts(path) == wanted


@given(TEXT, TEXT)
def test_brackets_come_off_again(source: str, target: str) -> None:
    plain = [without_brackets(text) for text in (source, target)]
    marked = with_brackets(*plain)
    assert [without_brackets(text) for text in marked] == plain
