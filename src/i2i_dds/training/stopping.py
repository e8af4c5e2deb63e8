"""A training that a signal ends saves a checkpoint first, on all processes at the same step."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from i2i_dds.progress import notify
from i2i_dds.signals import ENDING, Stopped, hearing
from i2i_dds.training.checkpoints import Checkpoints


class StopOnSignal(Checkpoint):
    """Ends a training between two steps, with a checkpoint, when a signal asks for it.

    SIGTERM and SIGINT raise ``Stopped``. SIGUSR1, which SLURM can send before a job's time is over,
    saves a checkpoint and the training goes on. Within a validation, before which a checkpoint was
    saved, ``Stopped`` is raised at once.

    It is a ``Checkpoint`` so that Lightning calls it after all that change what is saved.

    Args:
        requeue: Queues the job again, after SIGUSR1 and the checkpoint, on the first process;
            returns what went wrong, or None. None queues nothing.
    """

    def __init__(self, requeue: Callable[[], str | None] | None = None) -> None:
        self._requeue = requeue
        self._asked: signal.Signals | None = None
        self._step, self._in_validation = 0, False
        self._handlers = ExitStack()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Here and not before, for Lightning has set its own handlers; it takes all back at the end.
        self._step = trainer.global_step
        self._handlers.enter_context(hearing(self._hear, (*ENDING, signal.SIGUSR1)))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        asked = _first_asked(self._asked, trainer)
        if asked is None:
            return
        self._asked = None
        _save(trainer)
        if asked in ENDING:
            raise Stopped(asked)
        if trainer.is_global_zero:
            wrong = None if self._requeue is None else self._requeue()
            queued = "" if self._requeue is None else "; the job is queued again"
            queued = queued if wrong is None else f"; the job is not queued again: {wrong}"
            notify(
                f"{asked.name}: saved a checkpoint at step {self._step}{queued}; "
                "the training goes on"
            )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            _save(trainer)
        self._in_validation = True
        if self._asked is not None and self._asked in ENDING:
            raise Stopped(self._asked)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._in_validation = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._handlers.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._handlers.close()

    def _hear(self, received: signal.Signals) -> None:
        if self._in_validation and received in ENDING:
            raise Stopped(received)
        if self._asked not in ENDING:
            self._asked = received


def _save(trainer: Trainer) -> None:
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, Checkpoints):
            callback.save_last(trainer)


def _first_asked(asked: signal.Signals | None, trainer: Trainer) -> signal.Signals | None:
    """What any of the processes was asked, the same on all; an end before all else."""
    if trainer.world_size == 1:
        return asked
    order = [None, signal.SIGUSR1, *ENDING]
    number = torch.tensor(order.index(asked), device=trainer.strategy.root_device)
    torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
    return order[int(number)]
