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


def test_a_checkpoint_that_could_not_be_written_is_an_error(module, data, trainer, tmp_path):
    class Silent(Checkpoints):
        """As when Lightning passes over a refused permission."""

        def _save(self, trainer, path):
            trainer.save_checkpoint = lambda *_, **__: None
            super()._save(trainer, path)

    with pytest.raises(UserError, match=r"hydra\.run\.dir: no checkpoint can be written in"):
        trainer(1, Silent(tmp_path / "c")).fit(module(), datamodule=data())


def test_a_write_that_fails_leaves_the_checkpoint_before_it(module, data, trainer, tmp_path):
    class Killed(Checkpoints):
        """Stops in the middle of its second write."""

        def _save(self, trainer, path):
            if trainer.global_step == 2:

                def torn(partial, **_):
                    Path(partial).write_bytes(b"half")
                    raise KeyError("killed")

                trainer.save_checkpoint = torn
            super()._save(trainer, path)

    with pytest.raises(KeyError):
        trainer(4, Killed(tmp_path, every_n_steps=1)).fit(module(), datamodule=data())
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 1


def test_a_training_that_its_epochs_end_leaves_a_checkpoint(module, data, trainer, tmp_path):
    fitting = trainer(100, Checkpoints(tmp_path), max_epochs=1)
    fitting.fit(module(), datamodule=data(n_train=6))
    assert fitting.global_step == 3
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3


@pytest.mark.parametrize("name", ["every_n_steps", "keep_every_n_steps"])
def test_intervals_below_one_are_refused(tmp_path, name) -> None:
    with pytest.raises(UserError, match=f"{name}: 0 is not allowed"):
        Checkpoints(tmp_path, **{name: 0})
