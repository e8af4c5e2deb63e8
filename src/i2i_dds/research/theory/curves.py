"""KL over the timesteps of a run: what every sampler of this study returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from i2i_dds.editing.sde import Pairs
from i2i_dds.research.theory.laws import Prior

POINTS = 25  # of a curve


@dataclass(frozen=True)
class Curve:
    """KL(p~_t || p_t) of one prior under one sampler.

    Attributes:
        dimension: Of the data, 1 or 2.
        prior: Its name.
        sampler: "ode", "sde", "cycle_sde" or "sde_limit", the SDE with infinitely many steps.
        t: Timesteps, falling; the last one is CLEAN.
        kl: In nats, one a timestep.
    """

    dimension: int
    prior: str
    sampler: str
    t: tuple[int, ...]
    kl: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """KL at the end over KL at the start."""
        return self.kl[-1] / self.kl[0]

    @property
    def relative_drift(self) -> float:
        """The largest change on the way, over KL at the start."""
        return max(abs(kl - self.kl[0]) for kl in self.kl) / self.kl[0]


def recorded(pairs: Pairs) -> list[int]:
    """Timesteps at which a curve has points: first and last included, equally spaced between."""
    states = [pairs[0][0], *(u for _, u in pairs)]
    kept = np.linspace(0, len(pairs), min(POINTS, len(states))).round().astype(int)
    return [states[i] for i in kept]


def curves_of(
    sampler: str,
    dimension: int,
    priors: Sequence[Prior],
    t: Sequence[int],
    kl: Sequence[Sequence[float]],
) -> list[Curve]:
    """One curve a prior; ``kl`` has one row a timestep, with a number a prior."""
    return [
        Curve(dimension, prior.name, sampler, tuple(t), tuple(row[i] for row in kl))
        for i, prior in enumerate(priors)
    ]
