"""How the timestep of an optimization step is chosen, one per item.

A sampler is called as ``sampler(step, steps, generators)`` and returns long (B,) timesteps. It
keeps nothing between its calls. What an item needs to know again at every step, such as the order
in which it visits its strata, is drawn each time anew from the seed that its generator was made
with, which stays the same however many numbers have been drawn from it. So one sampler serves
many runs at once, and an item's timesteps do not depend on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from i2i_dds.checks import check_fields, checked, choice, integer, require
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.errors import UserError


class TimestepSampler(Protocol):
    """Anything that gives each item of a batch its timestep."""

    def __call__(self, step: int, steps: int, generators: Sequence[Generator]) -> Tensor:
        """Timesteps, long (B,), of step ``step`` in [0, steps)."""
        ...


@dataclass(frozen=True)
class _Range:
    """Timesteps from [t_min, t_max).

    Raises:
        UserError: A value is not allowed, or the range is empty.
    """

    t_min: int = checked(integer(min=0), default=50)
    t_max: int = checked(integer(min=1), default=949)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.t_max <= self.t_min:
            raise UserError(
                f"t_max: {self.t_max} is not allowed; give more than t_min, {self.t_min}"
            )


@dataclass(frozen=True)
class UniformTimesteps(_Range):
    """Uniform on [t_min, t_max): the official notebook's choice, 50 to 948.

    Attributes:
        t_min: Smallest timestep, at least 0.
        t_max: One past the largest timestep.
    """

    def __call__(self, step: int, steps: int, generators: Sequence[Generator]) -> Tensor:
        """One draw from each item's generator; ``step`` and ``steps`` do not matter."""
        return torch.tensor([_uniform(g, self.t_min, self.t_max) for g in generators])


@dataclass(frozen=True)
class DescendingTimesteps(_Range):
    """From t_max - 1 straight down to t_min over the run (coarse changes first).

    Attributes:
        t_min: Timestep of the last step, at least 0.
        t_max: One past the timestep of the first step.
    """

    def __call__(self, step: int, steps: int, generators: Sequence[Generator]) -> Tensor:
        """The same timestep for every item; nothing is drawn."""
        top = self.t_max - 1
        t = top - round((top - self.t_min) * step / max(1, steps - 1))
        return torch.full((len(generators),), t)


@dataclass(frozen=True)
class StratifiedTimesteps(_Range):
    """Every run of ``strata`` steps visits each of ``strata`` equal parts of the range once.

    Runs begin at steps 0, strata, 2 strata and so on; the order is random, one of its own for
    each item and run, and inside its part t is uniform. Each step by itself is uniform on
    [t_min, t_max), exactly so, but no run is all coarse or all fine as one of independent draws
    may be. An item's order comes from its generator's seed, its place inside the part is the
    generator's next number.

    Attributes:
        t_min: Smallest timestep, at least 0.
        t_max: One past the largest timestep.
        strata: How many parts, at least 1; 1 is :class:`UniformTimesteps`.
    """

    strata: int = checked(integer(min=1), default=10)

    def __call__(self, step: int, steps: int, generators: Sequence[Generator]) -> Tensor:
        """One draw from each item's generator; ``steps`` does not matter."""
        return torch.tensor([self._draw(step, generator) for generator in generators])

    def _draw(self, step: int, generator: Generator) -> int:
        run, place = divmod(step, self.strata)
        order = torch.randperm(self.strata, generator=fork_generator(generator, f"strata/{run}"))
        # In units of 1/strata of a timestep, where the borders of the parts are whole numbers.
        span = self.t_max - self.t_min
        fine = int(order[place]) * span + _uniform(generator, 0, span)
        return self.t_min + fine // self.strata


@dataclass(frozen=True)
class LowVarianceTimesteps(_Range):
    """A random start, then on by the golden ratio of the range at each step, round and round.

    With u uniform on [0, 1) for each item, ``x_i = frac(u + i / phi)`` and
    ``t_i = t_min + floor(x_i (t_max - t_min))``: systematic sampling along the additive recurrence
    with the lowest discrepancy. Any number of steps in a row, wherever they begin, is spread
    about evenly over the range (the gaps between them have two or three lengths), and each step
    by itself is uniform. Nothing is drawn from an item's generator; u comes from its seed.

    Attributes:
        t_min: Smallest timestep, at least 0.
        t_max: One past the largest timestep.
    """

    def __call__(self, step: int, steps: int, generators: Sequence[Generator]) -> Tensor:
        """Timesteps of ``step``; ``steps`` does not matter."""
        starts = torch.tensor([_start(generator) for generator in generators], dtype=torch.float64)
        x = (starts + step * _INVERSE_PHI) % 1.0
        return self.t_min + (x * (self.t_max - self.t_min)).long()


_SAMPLERS = {
    "uniform": UniformTimesteps,
    "descending": DescendingTimesteps,
    "stratified": StratifiedTimesteps,
    "low_variance": LowVarianceTimesteps,
}


def timestep_sampler(name: str, t_min: int, t_max: int) -> TimestepSampler:
    """The sampler of that name over [t_min, t_max).

    Raises:
        UserError: Another name than uniform, descending, stratified or low_variance.
    """
    require("timesteps", name, choice(*_SAMPLERS))
    return _SAMPLERS[name](t_min, t_max)


_INVERSE_PHI = (5**0.5 - 1) / 2


def _start(generator: Generator) -> float:
    return torch.rand((), dtype=torch.float64, generator=fork_generator(generator, "start")).item()


def fork_generator(generator: Generator, purpose: str) -> Generator:
    """A CPU generator that depends on the seed of ``generator`` and not on what it has drawn."""
    return item_generators(generator.initial_seed(), [f"timesteps/{purpose}"])[0]


def _uniform(generator: Generator, low: int, high: int) -> int:
    draw = torch.randint(low, high, (1,), generator=generator, device=generator.device)
    return int(draw.item())
