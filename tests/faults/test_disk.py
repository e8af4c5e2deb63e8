"""Disks that are full or read-only, and folders that go away: one sentence, and nothing half."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FEW = [
    *("task=cat2lion", "teacher.device=cpu", "data.n_train=8", "data.n_val=2", "data.n_test=2"),
    *("data.batch_size=2", "data.size=32", "student.unet.block_out_channels=[8,8,16]"),
    *("student.unet.norm_num_groups=8", "student.unet.attention_head_dim=1", "final.n=2"),
    *("callbacks.pictures=null", "callbacks.checkpoints.every_n_steps=4", "zero_shot.steps=1"),
]
TRAIN = [*FEW, "trainer.max_steps=8"]
EDIT = [
    *("source=critters", "task=cat2lion", "teacher.device=cpu", "n=4", "batch_size=1", "size=32"),
    "steps=4",
]
LAST = "checkpoints/last.ckpt"


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def vanish(folder: Path) -> None:
    """Deletes a folder in which somebody writes: away at once, since emptying it may fail."""
    gone = folder.rename(folder.with_name("gone"))
    shutil.rmtree(gone, ignore_errors=True)


def only_error(process) -> str:
    """The one sentence of a command that was refused."""
    assert process.status() == 2, process.err
    errors = [line for line in process.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in process.err, process.err
    return errors[0]


def test_a_checkpoint_larger_than_allowed_leaves_none(start, tmp_path: Path) -> None:
    said = only_error(start("train", *TRAIN, "hydra.run.dir=run", largest_file=1_000_000))
    assert said == (
        f"error: run folder: cannot write in '{tmp_path / 'run' / 'checkpoints'}', files as large "
        "as that are not allowed there; give a folder with room"
    )
    assert files(tmp_path / "run" / "checkpoints") == []  # the checkpoint has 1.9 MB


def test_a_picture_larger_than_allowed_leaves_nothing(start, tmp_path: Path) -> None:
    said = only_error(start("edit", *EDIT, "hydra.run.dir=runs/run", largest_file=20_000))
    assert f"cannot write in '{tmp_path / 'runs/run'}', files as large" in said, said
    assert files(tmp_path / "runs") == []  # the sheet of all pictures has 68 kB


def test_edits_go_on_once_there_is_room(start, tmp_path: Path) -> None:
    said = only_error(start("edit", *EDIT, "out=made", largest_file=20_000))
    assert f"cannot write in '{tmp_path / 'made'}'" in said, said
    assert not [name for name in files(tmp_path) if ".partial-" in name]
    again = start("edit", *EDIT, "out=made")
    assert again.status() == 0 and "4 of 4 batches are finished already" in again.err


@pytest.mark.parametrize("command", ["train", "edit"])
def test_a_file_where_the_folder_should_be(start, tmp_path: Path, command: str) -> None:
    (tmp_path / "runs").write_text("mine")
    arguments = TRAIN if command == "train" else EDIT
    said = only_error(start(command, *arguments, "hydra.run.dir=runs/run"))
    assert said.startswith("error: runs/run: Not a directory; give a path that is there")
    assert (tmp_path / "runs").read_text() == "mine"


def test_a_training_whose_folder_is_deleted(start, tmp_path: Path) -> None:
    endless = ("trainer.max_steps=100000", "trainer.log_every_n_steps=1")
    training = start("train", *FEW, *endless, "hydra.run.dir=run")
    training.until((tmp_path / "run" / LAST).is_file)
    vanish(tmp_path / "run")
    said = only_error(training)
    assert said.startswith(f"error: {tmp_path}/run/") and "No such file or directory" in said


def test_edits_whose_folder_is_deleted(start, tmp_path: Path) -> None:
    edits = start("edit", *EDIT, "n=40", "hydra.run.dir=runs/run")
    edits.until(lambda: list((tmp_path / "runs").glob("run.partial-*/parts/*.json")))
    (partial,) = (tmp_path / "runs").glob("run.partial-*")
    vanish(partial)
    said = only_error(edits)
    assert said.startswith(f"error: {tmp_path}/runs/run") and "No such file or directory" in said
    assert not list((tmp_path / "runs").glob("run*"))


def on_disk(folder: Path, pocket: Path, how: str, *command: str) -> subprocess.CompletedProcess:
    """Runs a command that sees a disk of its own at ``<folder>/disk``, and lists what it left.

    Args:
        folder: Where the command is typed.
        pocket: The teacher's folder.
        how: What the shell does to mount it, with ``$disk`` for its place.
        command: Module and arguments.
    """
    if shutil.which("unshare") is None:  # it is Linux's
        pytest.skip("no file system can be mounted without unshare")
    (folder / "disk").mkdir()
    script = f'disk="$1"; shift; {how} || exit 99; "$@"; code=$?; find "$disk" -type f; exit $code'
    done = subprocess.run(
        *(["unshare", "-rm", "sh", "-c", script, "sh", "disk", sys.executable, "-m", *command],),
        **{"cwd": folder, "capture_output": True, "text": True, "timeout": 280},
        env={**os.environ, "I2I_DDS_POCKET": str(pocket), "OMP_NUM_THREADS": "1"},
    )
    # A container may forbid it: unshare itself fails, or the mount, which ends with 99.
    if done.stderr.startswith("unshare: ") or done.returncode == 99:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()[:200]}")
    return done


def refused(done: subprocess.CompletedProcess) -> str:
    """The one sentence that it ended with."""
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    return error


def no_room(folder: Path) -> str:
    return (
        f"error: run folder: cannot write in '{folder}', no space is left on its disk; give a "
        "folder with room"
    )


FULL = 'mount -t tmpfs -o size={size} tmpfs "$disk"'
READ_ONLY = 'mount -t tmpfs tmpfs "$disk" && mount -o remount,ro "$disk"'


@pytest.mark.slow
def test_a_training_on_a_full_disk_keeps_the_checkpoint_before(tmp_path, pocket) -> None:
    mount = FULL.format(size="3m")  # of checkpoints of 1.9 MB it holds one
    keep = "trap 'cp disk/run/checkpoints/last.ckpt kept.ckpt' EXIT"
    train = ("i2i_dds.cli.train", *TRAIN, "hydra.run.dir=disk/run")
    done = on_disk(tmp_path, pocket, f"{mount} && {keep}", *train)
    assert refused(done) == no_room(tmp_path / "disk/run/checkpoints")
    left = ["checkpoints/last.ckpt", "config.json", "log/hparams.yaml"]
    assert sorted(done.stdout.split()) == [f"disk/run/{name}" for name in left]
    assert torch.load(tmp_path / "kept.ckpt", weights_only=True)["global_step"] == 4


@pytest.mark.slow
def test_edits_on_a_full_disk_leave_nothing(tmp_path, pocket) -> None:
    edit = ("i2i_dds.cli.edit", *EDIT, "hydra.run.dir=disk/run")
    done = on_disk(tmp_path, pocket, FULL.format(size="80k"), *edit)
    assert refused(done) == no_room(tmp_path / "disk/run")
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "edit"])
def test_a_disk_that_is_read_only(tmp_path, pocket, command: str) -> None:
    typed = (*(TRAIN if command == "train" else EDIT), "hydra.run.dir=disk/run")
    done = on_disk(tmp_path, pocket, READ_ONLY, f"i2i_dds.cli.{command}", *typed)
    assert refused(done).startswith("error: disk/run: Read-only file system; give a path that is")
    assert done.stdout == ""
