"""Items of DragBench in both layouts, and every way in which one can be broken."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_dds.critters import critter_drags, render
from i2i_dds.data.dragbench import check_points, critter_items, list_items, load_item
from i2i_dds.errors import UserError

SIZE = (20, 12)


def make(folder: Path, layout: str, **changes) -> Path:
    folder.mkdir(parents=True)
    if layout == "s":
        words = {"source": [[1, 2], [3, 4]], "target": [[5, 6], [7, 8]], "prompt": "a bear"}
        picture, instruction = "origin_image.png", "prompt.json"
    else:
        words = {"points": [[1, 2], [5, 6], [3, 4], [7, 8]], "prompt": "a bear"}
        picture, instruction = "original_image.png", "drag_instruction.json"
    Image.new("RGB", SIZE, "red").save(folder / picture)
    Image.new("L", SIZE, 255).save(folder / "mask.png")
    (folder / instruction).write_text(json.dumps({**words, **changes}))
    return folder


@pytest.mark.parametrize("layout", ["s", "d"])
def test_both_layouts_give_the_same_item(tmp_path, layout):
    item = load_item(make(tmp_path / "bear", layout))
    assert (item.name, item.prompt) == ("bear", "a bear")
    assert item.points == (((1.0, 2.0), (5.0, 6.0)), ((3.0, 4.0), (7.0, 8.0)))
    assert (item.image.mode, item.image.size) == ("RGB", SIZE)
    assert item.mask is not None
    assert (item.mask.mode, item.mask.getextrema()) == ("L", (255, 255))


def test_items_are_listed_by_name_without_being_read(tmp_path):
    for name in ("b", "a"):
        (tmp_path / "flat" / name).mkdir(parents=True)
        (tmp_path / "flat" / name / "prompt.json").write_text("broken")
    make(tmp_path / "deep" / "cats" / "one", "d")
    make(tmp_path / "deep" / "bears" / "one", "d")
    (tmp_path / "deep" / ".cache" / "one").mkdir(parents=True)
    assert list(list_items(tmp_path / "flat")) == ["a", "b"]
    assert list(list_items(tmp_path / "deep")) == ["bears/one", "cats/one"]
    assert list(list_items(tmp_path / "deep" / "cats" / "one")) == ["one"]
    assert list_items(tmp_path / "deep")["cats/one"] == tmp_path / "deep" / "cats" / "one"


def test_a_folder_without_items_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^root: .*holds no item.*prompt\.json.*drag_instruction"):
        list_items(tmp_path)
    with pytest.raises(UserError, match=r"^root: .*nowhere' is not a folder"):
        list_items(tmp_path / "nowhere")


@pytest.mark.parametrize("layout", ["s", "d"])
def test_a_missing_file_is_named_with_what_is_wanted(tmp_path, layout):
    for i, file in enumerate(sorted(make(tmp_path / "whole", layout).iterdir())):
        folder = make(tmp_path / str(i), layout)
        (folder / file.name).unlink()
        assert str(i) in list_items(tmp_path)
        with pytest.raises(UserError, match=rf"is not whole; wanted are.*{file.name}"):
            load_item(folder)


@pytest.mark.parametrize(
    ("layout", "changes", "message"),
    [
        ("d", {"points": [[1, 2], [3, 4], [5, 6]]}, r"points: 3 places; .*target after each"),
        ("d", {"points": []}, r"points: \[\] is not allowed"),
        ("d", {"points": "all"}, r"points: 'all' is not allowed; give a list"),
        ("d", {"points": [[1, 2], [3]]}, r"points: \[3\] is not allowed; give \[x, y\]"),
        ("d", {"points": [[1, 2], [20, 4]]}, r"points: \(20, 4\) is outside.*below 20, y below 12"),
        ("s", {"target": [[1, 2]]}, r"source and target: 2 handles and 1 targets"),
        ("s", {"source": [[1, -2], [3, 4]]}, r"\(1, -2\) is outside the picture"),
        ("s", {"source": [["1", 2], [3, 4]]}, r"\['1', 2, 5, 6\] is not allowed"),
        ("s", {"prompt": None}, r"prompt: None is not allowed; give a text"),
    ],
)
def test_a_broken_instruction_is_told_in_one_sentence(tmp_path, layout, changes, message):
    folder = make(tmp_path / "item", layout, **changes)
    with pytest.raises(UserError, match=message) as error:
        load_item(folder)
    assert "item" in str(error.value)
    assert "\n" not in str(error.value)


def test_other_broken_files_are_refused(tmp_path):
    folder = make(tmp_path / "json", "s")
    (folder / "prompt.json").write_text("{")
    with pytest.raises(UserError, match=r"prompt\.json' cannot be read as JSON"):
        load_item(folder)
    (folder / "prompt.json").write_text("[1]")
    with pytest.raises(UserError, match=r"holds no JSON object"):
        load_item(folder)
    folder = make(tmp_path / "mask", "d")
    Image.new("L", (5, 5)).save(folder / "mask.png")
    with pytest.raises(UserError, match=r"mask: .*is 5x5 but its picture is 20x12"):
        load_item(folder)
    (folder / "original_image.png").write_bytes(b"%!PS")
    with pytest.raises(UserError, match=r"cannot be read as a picture"):
        load_item(folder)


@pytest.mark.parametrize(
    "points",
    [
        None,
        3,
        "1,2,3,4",
        [],
        [1, 2, 3, 4],
        [[1, 2, 3]],
        [[1, 2, 3, True]],
        [[1, 2, 3, float("nan")]],
        [[1, 2, 3, float("inf")]],
        [[1, 2, 3, 10**400]],  # that no float holds
    ],
)
def test_typed_points_are_checked(points):
    with pytest.raises(UserError, match=r"^points: .*\[x, y, x2, y2\]"):
        check_points(points, SIZE)


def test_typed_points_are_pairs():
    assert check_points([[0, 0, 19.5, 11]], SIZE) == (((0.0, 0.0), (19.5, 11.0)),)


def test_critter_items_have_their_truth_beside_them():
    drags = critter_drags("test", 3, size=32)
    for given, drag in zip(critter_items("test", 3, size=32), drags, strict=True):
        item = given.item
        assert (item.name, item.points, given.kind) == (drag.key, drag.points, drag.kind)
        assert item.image.tobytes() == render(drag.scene, 32).tobytes()
        assert given.truth.tobytes() == render(drag.truth, 32).tobytes()
        rows = [[*handle, *target] for handle, target in item.points]
        assert check_points(rows, item.image.size) == item.points


@pytest.mark.parametrize(("folder", "number"), [("dragbench_d", 12), ("dragbench_s_example", 1)])
def test_published_items_load(folder, number):
    root = Path(os.environ.get("I2I_DDS_DATA", "")) / folder
    if "I2I_DDS_DATA" not in os.environ or not root.is_dir():  # not ours to ship: CONTRIBUTING
        pytest.skip(f"I2I_DDS_DATA names no folder that holds {folder}")
    items = [load_item(path, name) for name, path in list_items(root).items()]
    assert len(items) >= number
    for item in items:
        assert item.prompt
        assert item.points
        assert item.mask is not None
        assert set(np.unique(np.asarray(item.mask))) == {0, 255}
