import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i_dds.errors import UserError
from i2i_dds.runs import (
    plain,
    replacing,
    replacing_folder,
    run_folder,
    shortened,
    write_image,
    write_json,
    write_text,
)


def test_run_folder_appears_whole_and_only_at_the_end(tmp_path: Path) -> None:
    final = tmp_path / "runs" / "first"
    with run_folder(final) as folder:
        write_text(folder / "a.txt", "a")
        assert not final.exists()
        assert folder.parent == final.parent  # same disk, so the rename is one step
    assert [path.name for path in final.parent.iterdir()] == ["first"]
    assert (final / "a.txt").read_text() == "a"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_run_folder_leaves_nothing_when_the_body_raises(tmp_path: Path, error: type) -> None:
    with pytest.raises(error), run_folder(tmp_path / "run") as folder:
        write_text(folder / "a.txt", "a")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_run_folder_takes_an_empty_folder_and_refuses_a_used_one(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with run_folder(tmp_path / "run") as folder:
        write_text(folder / "a.txt", "first")
    with pytest.raises(UserError, match="holds files already"), run_folder(tmp_path / "run"):
        pytest.fail("the body must not run")
    assert (tmp_path / "run" / "a.txt").read_text() == "first"


def test_run_folder_refuses_a_folder_filled_meanwhile_and_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds files"), run_folder(tmp_path / "run") as folder:
        write_text(folder / "a.txt", "mine")
        write_text(tmp_path / "run" / "a.txt", "another's")
    assert (tmp_path / "run" / "a.txt").read_text() == "another's"
    assert len(list(tmp_path.iterdir())) == 1


def test_full_disk_is_one_sentence_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no space is left.*") as caught, run_folder(tmp_path / "r"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(tmp_path / "r") in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_run_names_the_folder_that_was_asked_for(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError) as caught,
        run_folder(tmp_path / "r") as folder,
        replacing(folder / "a.txt"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert f"cannot write in '{tmp_path / 'r'}', no space" in str(caught.value)


def test_disk_errors_of_other_files_are_not_blamed_on_the_run_folder(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), run_folder(tmp_path / "r"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/image.png")


def test_replacing_keeps_the_old_file_when_the_body_raises(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_json_turns_arrays_into_numbers_and_nan_into_null(tmp_path: Path) -> None:
    write_json(
        tmp_path / "sub" / "a.json",
        {
            "tensor": torch.tensor([1.5, float("nan")]),
            "scalar": torch.tensor(2),
            "array": np.array([[1, 2]]),
            "float32": np.float32(0.5),
            "infinite": float("inf"),
            "path": Path("a/b"),
            "flag": np.bool_(True),
            "tuple": (1, "zwölf", None),
        },
    )
    assert json.loads((tmp_path / "sub" / "a.json").read_text(encoding="utf-8")) == {
        "tensor": [1.5, None],
        "scalar": 2,
        "array": [[1, 2]],
        "float32": 0.5,
        "infinite": None,
        "path": "a/b",
        "flag": True,
        "tuple": [1, "zwölf", None],
    }


def test_write_json_refuses_an_object_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object"):
        write_json(tmp_path / "a.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []


def test_plain_keeps_whole_numbers_whole() -> None:
    assert isinstance(plain(np.int64(3)), int)
    assert plain(True) is True


def test_write_image_round_trips_a_png(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    write_image(tmp_path / "a.png", image)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(image))


def test_a_long_name_is_cut_to_bytes_and_stays_its_own() -> None:
    assert shortened("cat") == "cat"
    one, other = shortened("\u732b" * 90 + "a"), shortened("\u732b" * 90 + "b")
    assert one != other and one.startswith("\u732b" * 63) and len(one.encode()) <= 200


def test_a_file_of_the_longest_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 250 + ".txt")
    write_text(path, "whole")
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_one_and_of_a_link_but_not_of_what_it_leads_to(
    tmp_path: Path,
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").write_text("stays")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("goes")
    for name in ("link", "folder"):
        with replacing_folder(tmp_path / name) as partial:
            (partial / "new").write_text("new")
        assert not (tmp_path / name).is_symlink()
        assert [path.name for path in (tmp_path / name).iterdir()] == ["new"]
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["old"]
