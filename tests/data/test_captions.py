import json
from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.data.captions import captioned_pictures
from i2i_dds.errors import UserError


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def found(folder: Path, **more) -> dict[str, tuple[str, str | None]]:
    return {
        path.relative_to(folder).as_posix(): (caption, split)
        for path, caption, split in captioned_pictures(folder, **more)
    }


def test_sidecars_of_both_kinds_and_sub_folders(tmp_path: Path) -> None:
    for name in ("b.png", "deep/er/a.jpg"):
        picture(tmp_path / name)
    (tmp_path / "b.caption").write_text("two\n")
    (tmp_path / "deep" / "er" / "a.txt").write_text("one")
    picture(tmp_path / ".hidden" / "c.png")
    assert found(tmp_path) == {"b.png": ("two", None), "deep/er/a.jpg": ("one", None)}


def test_the_imagefolder_layout_with_a_list_in_each_split(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        picture(tmp_path / split / "cats" / "0001.png")
        (tmp_path / split / "metadata.csv").write_text(
            f'file_name,text,author\ncats/0001.png,"a cat, {split}",me\n'
        )
    assert found(tmp_path) == {
        "test/cats/0001.png": ("a cat, test", "test"),
        "train/cats/0001.png": ("a cat, train", "train"),
        "validation/cats/0001.png": ("a cat, validation", "val"),
    }


def test_one_list_for_all_and_a_nearer_one_before_it(tmp_path: Path) -> None:
    for name in ("a.png", "in/b.png", "in/c.png"):
        picture(tmp_path / name)
    lines = [{"file_name": name, "caption": "far"} for name in ("a.png", "./in/b.png", "in/c.png")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "in" / "metadata.csv").write_text("file_name,caption\nb.png,near\n")
    assert {name: words for name, (words, _) in found(tmp_path).items()} == {
        "a.png": "far",
        "in/b.png": "near",
        "in/c.png": "far",
    }


def test_missing_captions_are_counted_and_one_may_be_given_for_all(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / name)
    (tmp_path / "b.txt").write_text("my cat")
    message = (
        r"^caption: 2 of the 3 pictures of '.*' have none, the first is 'a.png'; write 'a.txt' or "
        r"'a.caption' beside it, list all in .*metadata.csv, .* caption=\"a photo of a cat\""
    )
    with pytest.raises(UserError, match=message):
        found(tmp_path)
    words = found(tmp_path, caption="a photo of a cat")
    assert [caption for caption, _ in words.values()] == [
        "a photo of a cat",
        "my cat",
        "a photo of a cat",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,text\na.png,x", "line 2 of '.*metadata.csv' is wrong; wanted is a.png,a cat under"),
        ("file_name,text\na.png", "line 2 of .* is wrong"),
        ("file_name,text\n../a.png,x", "line 2 of .* leaves its folder"),
        ("file_name,text\nb.png,x", "'.*b.png', line 2 of '.*', does not exist"),
        ('file_name,text\na.png,"x', "is no CSV"),
        ("file_name,text\n" + "n" * 300 + ".png,x", "does not exist"),
        ("file_name,text\na.png," + "x" * 200_000, "is no CSV .field larger"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(UserError, match=f"^path: .*{message}"):
        found(tmp_path)


def test_a_folder_without_pictures_is_refused_and_circles_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="path: '.*' holds no picture; wanted are files"):
        found(tmp_path)
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "again").symlink_to(tmp_path)
    assert list(found(tmp_path, caption="c")) == ["in/a.png"]
