import errno
import json
import os
from pathlib import Path

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.training.checkpoints import Checkpoints, newest_checkpoint

CONFIG = {"task": {"name": "cat2lion"}, "teacher": {"path": "x"}, "seed": 0, "trainer": {"a": 1}}


def write_run(folder: Path, config: dict, age: float) -> Path:
    path = folder / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    (folder / "config.json").write_text(json.dumps(config))
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_the_newest_run_of_the_same_job_is_found(tmp_path: Path) -> None:
    write_run(tmp_path / "outputs" / "train" / "old", CONFIG, age=9)
    longer = {**CONFIG, "trainer": {"a": 2}}  # another length is the same job
    newest = write_run(tmp_path / "multirun" / "train" / "day" / "0", longer, age=5)
    write_run(tmp_path / "outputs" / "train" / "other", {**CONFIG, "seed": 1}, age=1)
    (tmp_path / "outputs" / "train" / "other" / "config.json").write_text("{torn")
    folders = tmp_path / "outputs", tmp_path / "multirun", tmp_path / "absent"
    assert newest_checkpoint(CONFIG, *folders) == newest
    with pytest.raises(UserError, match=r"ckpt_path: 'last' finds no run .*cat2lion, seed 7"):
        newest_checkpoint({**CONFIG, "seed": 7}, *folders)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Lets the disk refuse half of a checkpoint, from the given one on."""

    def failing(error: Exception, nth: int) -> None:
        saved, save = [], torch.save

        def torn(content, file):
            saved.append(1)
            if len(saved) >= nth:
                file.write(b"half")
                raise error
            save(content, file)

        monkeypatch.setattr("i2i_dds.checkpoint_io.torch.save", torn)

    return failing


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.EACCES, "may not be written by this user"), (errno.ENOSPC, "no space is left")],
)
def test_a_checkpoint_that_cannot_be_written_is_an_error_that_names_its_folder(
    module, data, trainer, tmp_path, failing, number, sentence
):
    failing(OSError(number, "no"), nth=1)
    with pytest.raises(UserError, match=f"cannot write in '{tmp_path}/c', .*{sentence}"):
        trainer(1, Checkpoints(tmp_path / "c")).fit(module(), datamodule=data())
    assert list((tmp_path / "c").iterdir()) == []


def test_a_write_that_fails_leaves_the_checkpoint_before_it(
    module, data, trainer, tmp_path, failing
):
    failing(KeyError("killed"), nth=2)
    with pytest.raises(KeyError):
        trainer(4, Checkpoints(tmp_path / "c", every_n_steps=1)).fit(module(), datamodule=data())
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["last.ckpt"]
    assert torch.load(tmp_path / "c" / "last.ckpt", weights_only=True)["global_step"] == 1


def test_steps_that_are_kept_do_not_stand_for_the_last(module, data, trainer, tmp_path):
    kept = Checkpoints(tmp_path, every_n_steps=100, keep_every_n_steps=3)
    trainer(100, kept, max_epochs=1).fit(module(), datamodule=data(n_train=6))
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == [
        *("last.ckpt", "step-000003.ckpt")
    ]


def test_a_training_that_its_epochs_end_leaves_a_checkpoint(module, data, trainer, tmp_path):
    fitting = trainer(100, Checkpoints(tmp_path), max_epochs=1)
    fitting.fit(module(), datamodule=data(n_train=6))
    assert fitting.global_step == 3
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3


@pytest.mark.parametrize("name", ["every_n_steps", "keep_every_n_steps"])
def test_intervals_below_one_are_refused(tmp_path, name) -> None:
    with pytest.raises(UserError, match=f"{name}: 0 is not allowed"):
        Checkpoints(tmp_path, **{name: 0})
