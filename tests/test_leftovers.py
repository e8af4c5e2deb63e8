"""Which files and folders are of a run that was killed."""

import os
import subprocess
import sys
from pathlib import Path

from i2i_dds.leftovers import leftovers, readable
from i2i_dds.runs import replacing, run_folder

KILLED = """\
import os, sys
from i2i_dds.runs import replacing, run_folder
with run_folder(sys.argv[1] + "/run") as folder, replacing(folder.parent / "b.json") as file:
    (folder / "a.txt").write_text("abc")
    file.write_text("12")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_run_left_is_found_and_stays(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "absent") == []
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "deep")], timeout=60)
    assert leftovers(tmp_path) == []
    file, folder = leftovers(tmp_path, deep=True)
    assert (file.size, folder.size) == (2, 3) and folder.path.is_dir()
    assert str(folder) == f"'{folder.path}' (3 bytes)"
    process = int(folder.path.name.rpartition("-")[2])
    with run_folder(tmp_path / "deep" / "run") as again:
        assert again != folder.path
    assert leftovers(tmp_path / "deep") == [file, folder] and process != os.getpid()


def test_what_is_being_written_is_none(tmp_path: Path) -> None:
    with run_folder(tmp_path / "run"), replacing(tmp_path / "a.json") as file:
        file.write_text("")
        assert leftovers(tmp_path) == [] and len(list(tmp_path.iterdir())) == 2


def test_a_leftover_of_the_same_process_number_is_kept(tmp_path: Path) -> None:
    old = tmp_path / f"run.partial-{os.getpid()}"
    old.mkdir()
    with run_folder(tmp_path / "run") as folder:
        (folder / "a").touch()
    assert old.is_dir() and (tmp_path / "run" / "a").is_file()


def test_sizes_are_readable() -> None:
    assert [readable(n) for n in (0, 999, 1500, 2_500_000, 3.2e9)] == [
        *("0 bytes", "999 bytes", "1.5 kB", "2.5 MB", "3.2 GB")
    ]
