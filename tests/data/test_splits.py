from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.data.datamodule import EditDataModule
from i2i_dds.data.splits import check_held_out, split_numbers
from i2i_dds.data.tars import Record
from i2i_dds.errors import UserError
from i2i_dds.tasks import Task, TaskSet

TASKS = TaskSet([Task("lion", {"cat": "lion"})])


def records(n: int, split: str | None = None) -> list[Record]:
    return [Record(f"k{i}", 0, name=f"k{i}", split=split) for i in range(n)]


def test_a_fraction_splits_for_good() -> None:
    many = records(400)
    split = split_numbers(many, range(400), 0.25, 400, 400)
    assert sorted(sum(split.values(), [])) == list(range(400))
    assert 30 < len(split["val"]) < 70 and 30 < len(split["test"]) < 70
    # Whatever tasks accept, however many are asked for, whatever comes later: nothing moves.
    for numbers, n in ((range(400), 1), (range(0, 400, 2), 400), (range(3, 28), 400)):
        other = split_numbers(many, numbers, 0.25, n, n)
        for part, found in other.items():
            assert set(found) <= set(split[part])
    assert len(split_numbers(many, range(400), 0.25, 1, 1)["test"]) == 1
    less = split_numbers(many, range(400), 0.1, 400, 400)
    assert set(less["test"]) <= set(split["test"]) and set(split["train"]) <= set(less["train"])


def test_a_quarter_is_the_quarter_of_earlier_versions() -> None:
    from i2i_dds.data.splits import stable_hash

    split = split_numbers(records(64), range(64), "auto", 64, 64)
    eighths = [stable_hash(f"k{i}") % 8 for i in range(64)]
    assert split["test"] == [i for i in range(64) if eighths[i] == 0]
    assert split["val"] == [i for i in range(64) if eighths[i] == 1]


def test_none_and_folders() -> None:
    assert split_numbers(records(3), range(3), "none", 9, 9) == {
        "train": [0, 1, 2],
        "val": [],
        "test": [],
    }
    mixed = [*records(1), *records(2, "train"), *records(2, "val"), *records(1, "test")]
    for held_out in ("folder", "auto"):
        found = split_numbers(mixed, range(6), held_out, 9, 9)
        assert found == {"train": [0, 1, 2], "val": [3, 4], "test": [5]}
    with pytest.raises(UserError, match="held_out: 'folder' takes what lies in folders named"):
        split_numbers(records(3), range(3), "folder", 9, 9)
    with pytest.raises(UserError, match="are all held out by held_out=folder; give held_out=none"):
        split_numbers(records(2, "val"), range(2), "auto", 9, 9)


@pytest.mark.parametrize("value", ["half", "shards", 0.0, 1.0, 1, -0.5, None, True])
def test_other_ways_are_refused(value) -> None:
    with pytest.raises(UserError, match=r"held_out: .* is unknown; it is one of .* or a fraction"):
        check_held_out(value)


def photos(folder: Path, names: list[str]) -> EditDataModule:
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    return EditDataModule(
        TASKS, folder, held_out="auto", caption="a cat", n_val=99, n_test=99, size=8, batch_size=2
    )


def test_an_added_picture_moves_no_other(tmp_path: Path) -> None:
    """Also one whose name sorts before all others, and a folder's."""

    def split(names: list[str]) -> dict[str, str]:
        data = photos(tmp_path / "photos", names)
        return {
            data._shards.records[number].key: part
            for part, numbers in data._numbers.items()
            for number in numbers
        }

    names = [f"m{i}" for i in range(24)]
    before = split(names)
    assert set(before.values()) == {"train", "val", "test"}
    (tmp_path / "photos" / "0first").mkdir()
    after = split([*names, *(f"a{i}" for i in range(9)), "0first/z"])
    assert len(after) == 34 and {key: after[key] for key in before} == before


def test_twelve_photographs_train(tmp_path: Path) -> None:
    data = photos(tmp_path / "few", [f"cat {i}" for i in range(12)])
    assert sum(data.sizes.values()) == 12 and data.sizes["train"] >= 6
    assert sum(len(batch["key"]) for batch in data.train_dataloader()) > 0
    data = photos(tmp_path / "one", ["c"])
    data.held_out = "none"
    assert len(next(iter(data.train_dataloader()))["key"]) == 2  # repeated to fill a batch
    assert data.val_dataloader() == data.test_dataloader() == []
