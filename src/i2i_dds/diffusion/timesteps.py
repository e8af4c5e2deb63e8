"""How the timestep of an optimisation step is chosen, one per item.

A sampler is called as ``sampler(step, steps, generators)`` and returns long (B,) timesteps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from i2i_dds.errors import UserError


class TimestepSampler(Protocol):
    """Anything that gives each item of a batch its timestep."""

    def __call__(self, step: int, steps: int, generators: Sequence[Generator]) -> Tensor:
        """Timesteps, long (B,), of step ``step`` in [0, steps)."""
        ...


@dataclass(frozen=True)
class UniformTimesteps:
    """Uniform on [t_min, t_max): the official notebook's choice, 50 to 948.

    Attributes:
        t_min: Smallest timestep, at least 0.
        t_max: One past the largest timestep.
    """

    t_min: int = 50
    t_max: int = 949

    def __post_init__(self) -> None:
        _check_range(self.t_min, self.t_max)

    def __call__(self, step: int, steps: int, generators: Sequence[Generator]) -> Tensor:
        """One draw from each item's generator; ``step`` and ``steps`` do not matter."""
        return torch.tensor([_uniform(g, self.t_min, self.t_max) for g in generators])


@dataclass(frozen=True)
class DescendingTimesteps:
    """From t_max - 1 straight down to t_min over the run (coarse changes first).

    Attributes:
        t_min: Timestep of the last step, at least 0.
        t_max: One past the timestep of the first step.
    """

    t_min: int = 50
    t_max: int = 949

    def __post_init__(self) -> None:
        _check_range(self.t_min, self.t_max)

    def __call__(self, step: int, steps: int, generators: Sequence[Generator]) -> Tensor:
        """The same timestep for every item; nothing is drawn."""
        top = self.t_max - 1
        t = top - round((top - self.t_min) * step / max(1, steps - 1))
        return torch.full((len(generators),), t)


def _uniform(generator: Generator, low: int, high: int) -> int:
    draw = torch.randint(low, high, (1,), generator=generator, device=generator.device)
    return int(draw.item())


def _check_range(t_min: int, t_max: int) -> None:
    if t_min < 0:
        raise UserError(f"t_min: {t_min} is not allowed; give 0 or more")
    if t_max <= t_min:
        raise UserError(f"t_max: {t_max} is not allowed; give more than t_min, {t_min}")
