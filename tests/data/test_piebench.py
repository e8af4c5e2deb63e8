"""PIE-Bench read and written, and every way in which it can be broken."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i_dds.critters import Scene, render
from i2i_dds.data.edits import SceneEdits, edit_mask
from i2i_dds.data.piebench import PieItem, critter_items, list_items, load_item, write_items
from i2i_dds.errors import UserError
from i2i_dds.tasks import Task, TaskSet

SIZE = (5, 4)
LION = Task("lion", {"cat": "lion"}, None, "make a lion", {"species": "cat"}, {"species": "lion"})
OWL = Task("owl", {"dog": "owl"}, None, "make an owl", {"species": "dog"}, {"species": "owl"})
TASKS = TaskSet([LION, OWL])


def entry(**changes) -> dict:
    return {
        "image_path": "0_random_140/000000000000.png",
        "original_prompt": "a slanted bicycle on the [dry] road",
        "editing_prompt": "a slanted [rusty] bicycle on the [wet] road",
        "editing_instruction": "Make the frame rusty",
        "editing_type_id": "0",
        "blended_word": "bicycle bicycle",
        "mask": [7, 1],
        **changes,
    }


def make(root: Path, *, beneath: str = "annotation_images", **entries) -> Path:
    picture = root / beneath / "0_random_140" / "000000000000.png"
    picture.parent.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(picture)
    (root / "mapping_file.json").write_text(json.dumps(entries or {"7": entry()}))
    return root


def items_of(root: Path) -> list[PieItem]:
    return [load_item(record) for record in list_items(root).values()]


def assert_same(item: PieItem, other: PieItem) -> None:
    for name in ("image", "mask"):
        ours, theirs = getattr(item, name), getattr(other, name)
        assert (ours.mode, ours.size, ours.tobytes()) == (
            theirs.mode,
            theirs.size,
            theirs.tobytes(),
        )
    assert replace(item, image=None, mask=None) == replace(other, image=None, mask=None)


@pytest.mark.parametrize("beneath", ["annotation_images", "."])
def test_an_item_is_read_as_published(tmp_path, beneath):
    make(tmp_path, beneath=beneath)
    (item,) = items_of(tmp_path)
    assert (item.name, item.kind, item.region) == ("7", "0", "bicycle bicycle")
    assert item.source == "a slanted bicycle on the dry road"
    assert item.target == "a slanted rusty bicycle on the wet road"
    assert item.instruction == "Make the frame rusty"
    assert (item.image.mode, item.image.size) == ("RGB", SIZE)
    # Pixel 7 is the third of the second row.
    expected = [[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert item.mask.mode == "L"
    assert (np.asarray(item.mask) / 255).tolist() == expected


def test_items_are_listed_in_the_files_order_without_being_read(tmp_path):
    make(tmp_path, **{"2": entry(), "10": None, "1": entry(mask="broken")})
    assert list(list_items(tmp_path)) == ["2", "10", "1"]
    assert load_item(list_items(str(tmp_path))["2"]).name == "2"


def test_a_root_without_a_mapping_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^root: .* holds no mapping_file\.json; give the folder"):
        list_items(tmp_path)
    mapping = tmp_path / "mapping_file.json"
    for damaged in (b'{"1": ', b"\xff\xfe\xfd", b"[" * 100_000):
        mapping.write_bytes(damaged)
        with pytest.raises(UserError, match=r"^root: .*\.json' cannot be read as JSON"):
            list_items(tmp_path)
    for empty in ("[1]", "{}", "null"):
        mapping.write_text(empty)
        with pytest.raises(
            UserError, match=r"^root: .*\.json' .*holds no (item; give|JSON object)"
        ):
            list_items(tmp_path)


@pytest.mark.parametrize("key", list(entry()))
def test_a_missing_key_is_named(tmp_path, key):
    without = {name: value for name, value in entry().items() if name != key}
    make(tmp_path, **{"7": without})
    with pytest.raises(UserError, match=f"^root: item '7' of .* has no {key}; give one"):
        items_of(tmp_path)


@pytest.mark.parametrize("key", list(entry()))
def test_a_value_of_another_kind_is_refused(tmp_path, key):
    make(tmp_path, **{"7": entry(**{key: 3})})
    with pytest.raises(UserError, match=f"^root: item '7' of .* {key}: 3 is not allowed; give a"):
        items_of(tmp_path)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("a cat", "is 'a cat'; give a JSON object"),
        (entry(mask=[1, 2, 3]), "mask: 3 numbers; give a length after each start"),
        (entry(mask=[20, 1]), r"mask: a run begins at 20, .*below 5 x 4 = 20"),
        (entry(mask=[0, -1]), "mask: -1 is not allowed"),
        (entry(image_path="nowhere.png"), "image_path: 'nowhere.png' is neither beneath"),
        (entry(image_path="0_random_140"), "image_path: '0_random_140' is neither beneath"),
        (entry(image_path="x" * 5000), "image_path: 'x*' is neither beneath"),
        (entry(image_path="a\0b"), "is neither beneath"),
        (entry(image_path="../outside.png"), r"image_path: '\.\./outside\.png' leads out of"),
        (entry(image_path="a/../../outside.png"), "leads out of the root"),
    ],
)
def test_a_broken_item_is_told_in_one_sentence(tmp_path, broken, message):
    root = make(tmp_path / "root", **{"7": broken})
    Image.new("RGB", SIZE).save(tmp_path / "outside.png")
    with pytest.raises(UserError, match=f"^root: item '7' of .*{message}") as error:
        items_of(root)
    assert "\n" not in str(error.value)


def test_a_path_from_the_top_is_refused_though_the_picture_is_there(tmp_path):
    root = make(tmp_path / "root")
    picture = root / "annotation_images" / entry()["image_path"]
    (root / "mapping_file.json").write_text(json.dumps({"7": entry(image_path=str(picture))}))
    with pytest.raises(UserError, match="^root: .* leads out of the root"):
        items_of(root)


def test_a_damaged_picture_is_refused(tmp_path):
    make(tmp_path)
    (tmp_path / "annotation_images" / entry()["image_path"]).write_bytes(b"%!PS")
    with pytest.raises(UserError, match="^root: .* cannot be read as a picture"):
        items_of(tmp_path)


def test_what_is_written_is_read_back_exactly(tmp_path):
    items = items_of(make(tmp_path / "given")) + critter_items(TASKS, "test", 2, size=32)
    items[0] = replace(items[0], name="a-b ü", source="", target=" two  spaces, and\ta tab ")
    write_items(tmp_path / "written", iter(items))
    back = items_of(tmp_path / "written")
    assert len(back) == len(items) == 5
    for item, other in zip(items, back, strict=True):
        assert_same(item, other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "written"]


def test_what_is_written_has_the_published_layout(tmp_path):
    (item,) = items_of(make(tmp_path / "given"))
    write_items(tmp_path / "written", [item])
    (written,) = json.loads((tmp_path / "written" / "mapping_file.json").read_text()).values()
    assert written == entry(image_path="000000000000.png")
    assert (tmp_path / "written" / "annotation_images" / "000000000000.png").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": Image.new("L", SIZE)}, "mode L; give RGB"),
        ({"mask": Image.new("L", (4, 4))}, "its mask is not allowed"),
        ({"mask": Image.new("1", SIZE)}, "its mask is not allowed"),
        ({"mask": Image.new("L", SIZE, 128)}, "its mask is not allowed; give .* only 0 and 255"),
        ({"source": "a [cat"}, "its prompts have brackets"),
        ({"target": "a cat]"}, "its prompts have brackets"),
        ({}, "its id is taken"),
    ],
)
def test_what_would_come_back_as_another_item_is_not_written(tmp_path, changes, message):
    (item,) = items_of(make(tmp_path / "given"))
    items = [replace(item, **changes)] if changes else [item, item]
    with pytest.raises(UserError, match=f"^items: '7' cannot be written, .*{message}"):
        write_items(tmp_path / "written", items)
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_a_folder_in_use_is_left_alone(tmp_path):
    before = (make(tmp_path) / "mapping_file.json").read_bytes()
    with pytest.raises(UserError, match="holds files already"):
        write_items(tmp_path, items_of(tmp_path))
    assert (tmp_path / "mapping_file.json").read_bytes() == before


def test_critter_items_are_the_held_out_edits():
    items, edits = (
        critter_items(TASKS, "val", 2, seed=3, size=32),
        SceneEdits(TASKS, "val", 2, seed=3, size=32),
    )
    assert [item.kind for item in items] == ["1", "1", "2", "2"]
    for number, item in enumerate(items):
        edit = edits[number]
        scene = Scene.from_dict(edit["scene"])
        truth = TASKS[edit["task"]].truth(scene)
        assert item.image.tobytes() == render(scene, 32).tobytes()
        expected = edit_mask(scene, truth, 32)[0].numpy() * 255
        assert np.array_equal(np.asarray(item.mask), expected)
        assert (item.name, item.region) == (edit["key"], "")
        prompts = (item.source, item.target, item.instruction)
        assert prompts == (edit["source"], edit["target"], edit["instruction"])


def test_published_items_load():
    root = Path(os.environ.get("I2I_DDS_DATA", "")) / "piebench"
    if "I2I_DDS_DATA" not in os.environ or not root.is_dir():  # not ours to ship: CONTRIBUTING
        pytest.skip("I2I_DDS_DATA names no folder that holds piebench")
    items = items_of(root)
    assert len(items) == 700
    assert {item.kind for item in items} == set("0123456789")


@pytest.mark.parametrize("name", ["../a", "a/b", ".", "", "a\\b"])
def test_ids_and_types_are_names_of_files_nowhere_else(tmp_path: Path, name: str) -> None:
    entry = {"image_path": "a.png", "editing_type_id": name}
    (tmp_path / "mapping_file.json").write_text(json.dumps({name: entry}))
    with pytest.raises(UserError, match="that cannot be a file's name; give letters, digits"):
        list_items(tmp_path)
    (tmp_path / "mapping_file.json").write_text(json.dumps({"good-1": entry}))
    with pytest.raises(UserError, match="has a type that cannot be a file's name"):
        list_items(tmp_path)["good-1"].kind  # noqa: B018
