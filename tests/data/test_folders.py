from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.data.folders import PictureFolder, folder_samples, open_samples
from i2i_dds.data.shards import BrokenSample, Shards, write_shards
from i2i_dds.errors import UserError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for split, level in (("train", 10), ("val", 200)):
        (tmp_path / "photos" / split).mkdir(parents=True)
        Image.new("RGB", (6, 4), (level,) * 3).save(tmp_path / "photos" / split / "a.png")
        (tmp_path / "photos" / split / "a.txt").write_text(f"cat {level}")
    return tmp_path / "photos"


def test_a_folder_and_the_shards_made_of_it_are_the_same_samples(
    photos: Path, tmp_path: Path
) -> None:
    write_shards(folder_samples(photos), tmp_path / "s")
    folder, shards = open_samples(photos), open_samples(tmp_path / "s")
    assert isinstance(folder, PictureFolder) and isinstance(shards, Shards)
    assert [(r.key, r.caption, r.split) for r in folder.records] == [
        (r.key, r.caption, r.split) for r in shards.records
    ]
    assert [r.split for r in folder.records] == ["train", "val"]
    for number in range(2):
        a, b = folder.read(number), shards.read(number)
        assert a["image"].tobytes() == b["image"].tobytes() and a["key"] == b["key"]


def test_a_picture_that_cannot_be_decoded_is_named(photos: Path) -> None:
    folder = open_samples(photos)
    (photos / "val" / "a.png").write_bytes(b"no picture")
    with pytest.raises(BrokenSample, match="val/a.png"):
        folder.read(1)


def test_what_holds_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folder: '.*' is no folder"):
        open_samples(tmp_path / "none")
    with pytest.raises(UserError, match="folder: '.*' holds no .tar file"):
        open_samples(tmp_path)
    (tmp_path / "a.md").write_text("words")
    with pytest.raises(UserError, match="folder: '.*' holds no picture"):
        open_samples(tmp_path)
