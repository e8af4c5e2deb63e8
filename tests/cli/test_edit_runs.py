"""Runs of edits that are cut off, shared out, or given pictures that are broken."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from i2i_dds.cli.app import INCOMPLETE
from i2i_dds.cli.edit import main
from i2i_dds.critters import render, scenes
from i2i_dds.threads import cpu_threads

TOLD = ("image=photos", "prompt.target=a lion", "batch_size=2", "steps=2")
TIMES = {"seconds", "seconds_per_image"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five pictures of two sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, scene in enumerate(scenes("test", 5, species="cat")):
        render(scene, 24 if i == 1 else 32).save(folder / f"cat{i}.png")
    return folder


@pytest.fixture
def run(typed, photos: Path):
    """The command, typed beside them; on one thread, as in :func:`command`: rounding needs that."""

    def run(*arguments: str) -> Any:
        with cpu_threads(1):
            return typed(main, *TOLD, *arguments)

    return run


@pytest.fixture
def command(pocket: Path, tmp_path: Path, repository: Path, photos: Path):
    """The command in a process of its own."""

    def command(*arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        script = str(repository / "scripts" / "edit.py")
        return subprocess.Popen(
            [sys.executable, *launcher, script, "teacher.device=cpu", *TOLD, *arguments],
            env={**os.environ, "I2I_DDS_POCKET": str(pocket), "OMP_NUM_THREADS": "1"},
            **{"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
        )

    return command


def content(folder: Path) -> dict[str, Any]:
    """Every file of a run but times, and but what holds them."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("settings.json", "rows.csv"):
            name = str(path.relative_to(folder))
            found[name] = _timeless(path) if path.suffix == ".json" else path.read_bytes()
    return found


def _timeless(path: Path) -> Any:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: without(v) for k, v in value.items() if k not in {*TIMES, "config"}}
        return [without(one) for one in value] if isinstance(value, list) else value

    return without(json.loads(path.read_text()))


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def test_killed_in_the_middle_it_goes_on_to_the_same_bits(run, command, tmp_path: Path) -> None:
    whole = run("out=whole", "steps=100").folder
    cut = tmp_path / "cut"
    process = command("out=cut", "steps=100")
    deadline = time.monotonic() + 120
    while not (cut / "parts" / "000000.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (cut / "result.json").exists()
    for half in (cut / ".comparison.partial-1.png", cut / "edited" / ".cat9.partial-1.png"):
        half.write_bytes(b"half")  # as a kill while writing leaves
    first = (cut / "parts" / "000000.json").stat().st_mtime_ns
    done = run("out=cut", "steps=100")
    assert "of 3 batches are finished already" in done.err
    assert (cut / "parts" / "000000.json").stat().st_mtime_ns == first
    assert done.folder == cut and content(cut) == content(whole)


def test_a_finished_run_is_not_done_again_and_other_settings_are_refused(run) -> None:
    folder = run("out=here").folder
    before = {path: path.stat().st_mtime_ns for path in (folder / "edited").iterdir()}
    done = run("out=here")
    assert "3 of 3 batches are finished already" in done.err
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "edited").iterdir()}
    other = run("out=here", "steps=3")
    assert other.code == 2
    assert other.sentence.startswith("error: steps: 3 is not allowed here: what is in '")


def test_a_picture_that_is_another_now_is_edited_again(run, photos: Path) -> None:
    folder = run("out=here").folder
    before = content(folder)
    Image.open(photos / "cat1.png").transpose(Image.Transpose.ROTATE_90).save(photos / "cat1.png")
    assert "2 of 3 batches are finished already" in run("out=here").err
    after = content(folder)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        *("edited/cat1.png", "parts/000000.json", "parts/cat1.png", "comparison.png"),
        *("result.json", "trajectory.csv"),
    }


def test_other_weights_at_the_same_path_are_refused(run, pocket: Path, tmp_path: Path) -> None:
    from shutil import copytree

    from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

    copytree(pocket / "teacher", tmp_path / "sd")
    assert run("out=here", "teacher.path=sd").code == 0
    unet = StableDiffusionTeacher.load(str(tmp_path / "sd"), device="cpu").unet
    unet.conv_in.bias.data += 1
    unet.save_pretrained(tmp_path / "sd" / "unet")
    again = run("out=here", "teacher.path=sd")
    assert again.code == 2 and again.sentence.startswith("error: teacher.weights: ")


def test_a_folder_of_something_else_is_refused(run, photos: Path) -> None:
    done = run("out=photos")
    assert done.code == 2
    assert "photos' holds files, and none of a run of edits; give a new" in done.sentence
    assert len(list(photos.iterdir())) == 5


@pytest.mark.parametrize("out", [(), ("out=two",)])
def test_two_processes_make_the_same_files(run, command, tmp_path: Path, out) -> None:
    (tmp_path / "photos" / "zz.png").write_bytes(b"no picture")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    process = command(*out, "animation=true", launcher=launcher)
    printed, errors = process.communicate(timeout=280)
    (line,) = printed.splitlines()
    two = tmp_path / line
    assert errors.count("image: 'photos/zz.png' cannot be read as a picture") == 1, errors
    one = run(*(["out=one"] if out else ["paths.suffix=-one"]), "animation=true")
    assert one.code == INCOMPLETE
    assert content(tmp_path / one.out.splitlines()[-1]) == content(two)
    assert len(list((two / "edited").iterdir())) == 5
    others = {path for path in two.parent.iterdir() if ".partial-" in path.name}
    assert not others


def test_the_good_ones_are_edited_and_all_broken_ones_are_named(run, photos: Path) -> None:
    alone = content(run("paths.suffix=-alone").folder)
    (photos / "aa.png").write_bytes((photos / "cat0.png").read_bytes()[:100])
    (photos / "cat2b.jpg").write_bytes(b"")
    done = run()
    assert done.code == INCOMPLETE == 3
    folder = Path(done.out.splitlines()[-1])
    lines = [line for line in done.err.splitlines() if "cannot be read as a picture" in line]
    assert [line.split("'")[1] for line in lines] == ["photos/aa.png", "photos/cat2b.jpg"]
    assert done.err.splitlines()[-1] == "image: 2 files could not be read; all others are edited"
    assert [one["file"] for one in result(folder)["unreadable"]] == [
        *("photos/aa.png", "photos/cat2b.jpg")
    ]
    assert "cannot be read" in result(folder)["unreadable"][0]["reason"]
    made = content(folder)
    assert {k: v for k, v in made.items() if k != "result.json"} == {
        k: v for k, v in alone.items() if k != "result.json"
    }


def test_where_no_picture_can_be_read_nothing_is_written(run, photos: Path, tmp_path: Path) -> None:
    for path in photos.iterdir():
        path.write_bytes(b"no picture")
    done = run()
    assert (done.code, done.out) == (2, "")
    assert "photos/cat0.png' cannot be read as a picture" in done.sentence
    assert done.sentence.endswith("(and none of 4 others can)")
    assert not list(tmp_path.glob("outputs/edit/*"))


def test_a_sweep_does_every_job_before_it_ends_with_its_code(run, photos: Path) -> None:
    (photos / "zz.png").write_bytes(b"no picture")
    done = run("--multirun", "seed=0,1")
    assert done.code == INCOMPLETE
    folders = [Path(line) for line in done.out.splitlines() if (Path(line) / "edited").is_dir()]
    assert len(folders) == 2
