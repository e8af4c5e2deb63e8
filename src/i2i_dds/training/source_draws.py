"""Timesteps and noises that pictures keep, so that the teacher's answers can be kept, too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pytorch_lightning import Trainer

from i2i_dds.checks import integer, require
from i2i_dds.diffusion.timesteps import DescendingTimesteps, TimestepSampler
from i2i_dds.errors import UserError
from i2i_dds.scores.interface import Score


@dataclass(frozen=True)
class SourceDraws:
    """K draws of (t, noise) for each picture, for the whole training; one an epoch, in turn.

    From epoch K on a picture's draw has been there before, and with it the question about the
    source.

    Attributes:
        count: K, at least 1.
    """

    count: int

    def __post_init__(self) -> None:
        require("source_draws", self.count, integer(min=1))

    def check(self, score: Score, timesteps: TimestepSampler) -> None:
        """Refuses what does not go with draws that come again.

        Raises:
            UserError: The score asks about the source itself, or timesteps go down once.
        """
        if not getattr(score, "takes_eps_src", False):
            raise UserError(
                f"source_draws: {type(score).__name__} takes no answers about the source that were "
                "kept; leave it out, or give a score that does: DDS, CDS or PDS"
            )
        if isinstance(timesteps, DescendingTimesteps):
            raise UserError(
                "source_draws: descending timesteps go down once in a training, and draws come "
                "again; leave it out, or give other timesteps"
            )

    def of_step(self, trainer: Trainer) -> int:
        """Which of its draws a picture has at this step, in [0, K).

        Raises:
            UserError: The data does not say how many batches make an epoch.
        """
        return trainer.global_step // _steps_of_epoch(trainer) % self.count

    def warnings(self, trainer: Trainer) -> Iterator[str]:
        """Why few answers will be of use, where that is so."""
        epochs = trainer.estimated_stepping_batches / _steps_of_epoch(trainer)
        if epochs <= self.count:
            yield (
                f"source_draws: no draw of {self.count} comes again within {epochs:.3g} epochs, so "
                "no answer is of use; give fewer, or fewer pictures, such as data.n_train=1024"
            )
        fixed = getattr(getattr(trainer, "datamodule", None), "fixed_ranks", False)
        if trainer.world_size > 1 and not fixed:
            yield (
                f"source_draws: each of {trainer.world_size} processes keeps its own answers, and "
                "pictures change between them from epoch to epoch, so few are found again; give "
                "data.fixed_ranks=true"
            )


def _steps_of_epoch(trainer: Trainer) -> int:
    """By which epochs are counted: Lightning's count takes one that a stop cut short for done."""
    batches = trainer.num_training_batches
    if math.isinf(batches):
        raise UserError(
            "source_draws: the data does not say how many batches an epoch has; leave it out, or "
            "give data with a length"
        )
    return math.ceil(batches / trainer.accumulate_grad_batches)
