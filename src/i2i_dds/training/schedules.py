"""What changes in the course of training: guidance, the identity's weight, the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from i2i_dds.checks import check_fields, checked, choice, number

SHAPES = ("linear", "cosine")


@dataclass(frozen=True)
class ScalarSchedule:
    """A value that goes from `start` to `end` over the first part of training and then stays.

    Attributes:
        start: At the first step, at least 0.
        end: At least 0; from `fraction` of training on.
        fraction: The part of training that the way takes, in [0, 1]; 0 is at `end` at once.
        shape: "linear", or "cosine": slow at both ends.
    """

    start: float = checked(number(min=0))
    end: float = checked(number(min=0))
    fraction: float = checked(number(min=0, max=1), default=1.0)
    shape: Literal["linear", "cosine"] = checked(choice(*SHAPES), default="linear")

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, progress: float) -> float:
        """The value at `progress`, 0 at the first step and 1 at the end of training."""
        if progress >= self.fraction:
            return float(self.end)
        share = max(0.0, progress) / self.fraction
        if self.shape == "cosine":
            share = 0.5 - 0.5 * math.cos(math.pi * share)
        return self.start + share * (self.end - self.start)


def constant(optimizer: Optimizer, steps: int, warmup: int = 0) -> LambdaLR:
    """The optimizer's learning rate throughout, after a linear rise.

    Args:
        optimizer: Whose rate it is.
        steps: Length of training; of no consequence here.
        warmup: Steps of the rise.
    """
    return LambdaLR(optimizer, lambda step: _rise(step, warmup))


def cosine_warmup(
    optimizer: Optimizer, steps: int, warmup: int = 50, floor: float = 0.05
) -> LambdaLR:
    """A linear rise, then half a cosine down to `floor` times the optimizer's rate.

    Args:
        optimizer: Whose rate it is.
        steps: Length of training.
        warmup: Steps of the rise.
        floor: Last rate as a share of the highest, in [0, 1].
    """

    def factor(step: int) -> float:
        progress = min(1.0, step / max(1, steps))
        return _rise(step, warmup) * (
            floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
        )

    return LambdaLR(optimizer, factor)


def _rise(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
