"""A folder that a run was killed in goes on without what was half written there."""

from pathlib import Path

import pytest

from i2i_dds.errors import UserError
from i2i_dds.pipelines.edit_run import edit_folder
from i2i_dds.resumable import check_same


def test_halves_of_a_killed_run_are_removed_and_all_else_stays(tmp_path: Path) -> None:
    check_same(tmp_path, {"steps": 2})
    below = tmp_path / "edited"
    below.mkdir()
    for half in (tmp_path / ".comparison.partial-12.png", below / ".a.partial-12.png"):
        half.write_bytes(b"half")
    kept = [tmp_path / "comparison.png", below / "a.png", below / ".hidden.png"]
    for file in kept:
        file.write_bytes(b"whole")
    with pytest.raises(UserError, match="steps: 3 is not allowed here"):
        check_same(tmp_path, {"steps": 3})
    assert (tmp_path / ".comparison.partial-12.png").exists()
    check_same(tmp_path, {"steps": 2})
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*kept, tmp_path / "settings.json"}


def test_one_that_was_killed_while_it_wrote_its_settings_begins(tmp_path: Path) -> None:
    (tmp_path / ".settings.partial-12.json").write_text("{")
    with edit_folder(tmp_path, {"steps": 2}) as folder:
        assert [path.name for path in folder.iterdir()] == ["settings.json"]
    (tmp_path / "settings.json").unlink()
    (tmp_path / ".other.json").write_text("{}")
    with (
        pytest.raises(UserError, match="holds files, and none of a run"),
        edit_folder(tmp_path, {}),
    ):
        pass
