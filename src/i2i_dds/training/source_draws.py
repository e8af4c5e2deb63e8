"""Timesteps and noises that pictures keep, so that the teacher's answers can be kept, too."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytorch_lightning import Trainer

from i2i_dds.checks import check_fields, checked, integer
from i2i_dds.errors import UserError
from i2i_dds.scores.interface import Score


@dataclass(frozen=True)
class SourceDraws:
    """K draws of (t, noise) for each picture, for the whole training; one an epoch, in turn.

    From epoch K on each draw has been there before, and with it the question about the source.

    Attributes:
        source_draws: K, at least 1.
    """

    source_draws: int = checked(integer(min=1))

    def __post_init__(self) -> None:
        check_fields(self)

    def of_step(self, trainer: Trainer) -> int:
        """Which of its draws a picture has at this step, in [0, K).

        Epochs are counted by steps: Lightning's own count takes one that a stop cut short for done.

        Raises:
            UserError: The data does not say how many batches make an epoch.
        """
        batches = trainer.num_training_batches
        if math.isinf(batches):
            raise UserError(
                "source_draws: the data does not say how many batches an epoch has; leave it out, "
                "or give data with a length"
            )
        steps = math.ceil(batches / trainer.accumulate_grad_batches)
        return trainer.global_step // steps % self.source_draws


def check_takes_answers(score: Score) -> None:
    """Refuses a score that asks about the source itself.

    Raises:
        UserError: It is one.
    """
    if not getattr(score, "takes_eps_src", False):
        raise UserError(
            f"source_draws: {type(score).__name__} takes no answers about the source that were "
            "kept; leave it out, or give a score that does: DDS, CDS or PDS"
        )
