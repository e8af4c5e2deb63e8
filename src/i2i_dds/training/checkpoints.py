"""Checkpoints: written whole or not at all, checked to be there, and found again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from i2i_dds.checkpoint_io import CheckpointFiles
from i2i_dds.errors import UserError
from i2i_dds.reading import read_object
from i2i_dds.student.load import LAST

CONFIG = "config.json"
JOB = ("task", "teacher", "student", "score", "seed")
"""The parts of a run's config that make it the same job."""


class Checkpoints(Checkpoint):
    """Keeps `<folder>/last.ckpt` up to date.

    Each is written under another name first: a run that is killed leaves the one before.

    Args:
        folder: Where to.
        every_n_steps: Optimizer steps from one to the next; the last step has one too.
        keep_every_n_steps: Optimizer steps between those that are kept besides; None keeps none.
    """

    def __init__(
        self,
        folder: str | Path,
        every_n_steps: int = 100,
        keep_every_n_steps: int | None = None,
    ) -> None:
        for name, value in (
            ("every_n_steps", every_n_steps),
            ("keep_every_n_steps", keep_every_n_steps),
        ):
            if value is not None and value < 1:
                raise UserError(f"{name}: {value} is not allowed; give 1 or more")
        self.folder, self.every, self.keep_every = Path(folder), every_n_steps, keep_every_n_steps
        self._step = self._saved = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = self._saved = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step == self._step:
            return
        self._step = step
        if step % self.every == 0 or step == trainer.max_steps:
            self.save_last(trainer)
        if self.keep_every is not None and step % self.keep_every == 0:
            self._save(trainer, self.folder / f"step-{step:06d}.ckpt")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save_last(trainer)  # ended by its epochs or its time

    def save_last(self, trainer: Trainer) -> None:
        """Brings `last.ckpt` up to this step, if it is not; on every process."""
        if trainer.global_step not in (0, self._saved):
            self._saved = trainer.global_step
            self._save(trainer, self.folder / Path(LAST).name)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = CheckpointFiles()

    def _save(self, trainer: Trainer, path: Path) -> None:
        trainer.save_checkpoint(path, weights_only=False)  # on every process


def newest_checkpoint(config: Mapping[str, Any], *folders: str | Path) -> Path:
    """The checkpoint written last by a run of the same job.

    Args:
        config: This run's config, plain; the parts named in `JOB` decide.
        *folders: Looked through at any depth.

    Raises:
        UserError: there is none.
    """
    job = _job(config)
    found = [
        path
        for folder in folders
        for path in Path(folder).glob(f"**/{LAST}")
        if _job(_config_beside(path)) == job
    ]
    if not found:
        raise UserError(
            f"ckpt_path: 'last' finds no run of this job (task {config['task']['name']}, seed "
            f"{config['seed']}, the same teacher, student and score) in "
            f"{' or '.join(repr(str(folder)) for folder in folders)}; give a checkpoint or null"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def _job(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: config.get(name) for name in JOB}


def _config_beside(checkpoint: Path) -> Mapping[str, Any]:
    try:
        return read_object(checkpoint.parent.parent / CONFIG, "ckpt_path", "a run's config")
    except UserError:
        return {}
