"""Links where results are written: what they lead to is not written through, nor removed."""

import json
from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.cli import edit
from i2i_dds.cli.app import printable
from i2i_dds.data.images import list_images
from i2i_dds.errors import UserError
from i2i_dds.leftovers import leftovers
from i2i_dds.progress import notify
from i2i_dds.runs import replacing_folder, run_folder, write_image, write_json, write_text


@pytest.fixture
def victim(tmp_path: Path):
    """A file and a folder that links lead to; they stay as they are."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "file").write_text("mine")
    yield folder
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert (folder / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["a.json", "a.png", "a.txt"])
@pytest.mark.parametrize("there", ["file", "absent"])
def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path, victim, name: str, there: str) -> None:
    (tmp_path / name).symlink_to(victim / there)
    write = {
        "a.json": lambda path: write_json(path, {"a": 1}),
        "a.png": lambda path: write_image(path, Image.new("RGB", (2, 2))),
        "a.txt": lambda path: write_text(path, "a"),
    }
    write[name](tmp_path / name)
    assert not (tmp_path / name).is_symlink() and (tmp_path / name).stat().st_size > 0


def test_a_run_folder_is_not_made_through_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "run").symlink_to(victim)
    with pytest.raises(UserError, match="holds files already"), run_folder(tmp_path / "run"):
        pass
    (tmp_path / "student").symlink_to(victim)
    with replacing_folder(tmp_path / "student") as partial:
        (partial / "a").touch()
    assert not (tmp_path / "student").is_symlink()
    assert not (victim / "a").exists() and leftovers(tmp_path) == []


def test_an_edit_does_not_write_through_links_of_its_folder(
    typed, cat: Path, tmp_path: Path, victim: Path
) -> None:
    given = "image=cat.png", "prompt.target=a lion", "steps=1", "out=run"
    folder = typed(edit.main, *given).folder
    for name in ("result.json", "comparison.png"):
        (folder / name).unlink()
        (folder / name).symlink_to(victim / "file")
    typed(edit.main, *given)
    again = typed(edit.main, *given[:3], "out=run2").folder
    assert set(json.loads((again / "result.json").read_text())) >= {"items"}


def test_a_name_cannot_move_the_cursor_or_break_the_line(
    typed, cat: Path, tmp_path: Path, capsys
) -> None:
    name = "a\x1b[2J\x9b31m\r\u2028b.png"
    (tmp_path / name).write_bytes(b"no picture")
    done = typed(edit.main, f"image={name}", "prompt.target=a lion")
    assert done.code == 2 and done.sentence.startswith("error: image: 'a\\x1b[2J\\x9b31m")
    assert not {"\x1b", "\x9b", "\u2028", "\r"} & {*done.err}
    notify(f"passed over: {name}")
    assert not {"\x1b", "\x9b", "\u2028", "\r"} & {*capsys.readouterr().err}
    assert printable("ein Löwe\t猫\n") == "ein Löwe\t猫\n"


def test_links_among_pictures_are_read_and_those_to_nothing_named(tmp_path, cat, caplog) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").symlink_to(cat)
    (folder / "b.png").symlink_to(tmp_path / "absent")
    (folder / "c.png").symlink_to("c.png")
    assert list_images(folder) == [folder / "a.png"]
    assert "are passed over: 2 ('b.png', 'c.png')" in caplog.text
