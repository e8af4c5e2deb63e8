"""All curves of the study and the numbers drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from i2i_dds.research.theory.curves import Curve
from i2i_dds.research.theory.laws import MATCHED, Prior, data_law
from i2i_dds.research.theory.particles import CHUNK, Tick, cycle_of_particles, sde_of_particles
from i2i_dds.research.theory.quadrature import ode, sde_limit, sde_on_a_line

DIMENSIONS = (1, 2)

SENTENCES = {
    "ode": "ODE: a deterministic flow carries the wrong law along with the right one, "
    "so their KL never changes.",
    "sde": "SDE: every bit of fresh noise makes the two laws more alike; KL falls at the rate "
    "g²/2 × their Fisher divergence, until they agree.",
    "cycle_sde": "Cycle-SDE: noise recorded on the source's path is fresh noise to the edited "
    "latent, so KL falls as for the SDE.",
}
"""The theorems of Nie et al. (ICLR 2024, section 3) in a sentence each."""


@dataclass(frozen=True)
class Sizes:
    """How much is computed.

    Attributes:
        steps: Of the ODE, and of the SDE on a line: they are integrated exactly.
        particle_steps: Of the SDE in the plane and of Cycle-SDE.
        samples: Particles of each of their curves.
        t_start: The fraction of the way at which editing starts.
    """

    steps: int
    particle_steps: int
    samples: int
    t_start: float = 1.0

    @property
    def ticks(self) -> int:
        """How often :func:`study` reports that it has got further."""
        chunks = -(-self.samples // CHUNK)
        return 5 + 3 * chunks


def study(
    priors: Sequence[Prior], sizes: Sizes, seed: int, tick: Tick = lambda: None
) -> list[Curve]:
    """Every prior, and the matched one beside them, under every sampler in 1-D and 2-D."""
    everyone = [*priors, MATCHED]
    found: list[Curve] = []
    for dimension in DIMENSIONS:
        teacher = data_law(dimension)
        many = teacher.process.pairs(sizes.steps, sizes.t_start)
        few = teacher.process.pairs(sizes.particle_steps, sizes.t_start)
        found += ode(teacher, many, everyone)
        tick()
        if dimension == 1:
            found += sde_on_a_line(teacher, many, everyone)
            tick()
        else:
            found += sde_of_particles(teacher, few, everyone, sizes.samples, seed, tick)
        found += cycle_of_particles(teacher, few, everyone, sizes.samples, seed, tick)
        found += sde_limit(teacher, few, priors)
        tick()
    return found


def summary(curves: Sequence[Curve]) -> dict[str, Any]:
    """``priors`` by dimension and name, and ``control``: what no mismatch shows.

    The control's numbers are the largest |KL| of a curve, in nats.
    """
    found: dict[str, Any] = {"priors": {}, "control": {}}
    for curve in curves:
        where = f"{curve.dimension}d"
        if curve.prior == MATCHED.name:
            most = max(map(abs, curve.kl))
            found["control"].setdefault(where, {})[f"kl_{curve.sampler}_max"] = most
            continue
        numbers = found["priors"].setdefault(where, {}).setdefault(curve.prior, {})
        if curve.sampler == "ode":
            numbers["kl_ode_relative_drift"] = curve.relative_drift
        else:
            numbers[f"kl_{curve.sampler}_ratio"] = curve.ratio
        numbers[f"kl_{curve.sampler}_first"] = curve.kl[0]
        numbers[f"kl_{curve.sampler}_last"] = curve.kl[-1]
    return found


def titles(shift: float, scale: float) -> dict[str, str]:
    """What the figure's columns are called: prior -> its title."""
    noise = "too little noise" if scale < 1 else "too much noise"
    return {
        "shift": f"shift: x + {shift:g}, a drag",
        "scale": f"scale: {scale:g} x, {noise}",
        "paste": "paste: a patch in half of the latents",
        "matched": "control: the right prior",
    }


def methods(sizes: Sizes) -> str:
    """What stands under the figure: how its curves were computed."""
    return (
        f"ODE and 1-D SDE: {sizes.steps} steps, integrated without chance. 2-D SDE and Cycle-SDE: "
        f"{sizes.particle_steps} steps, {sizes.samples:,} particles, histograms. The control shows "
        "the error of each; less than 1e-4 is drawn at the edge.\nCurves run from the first "
        "timestep of the schedule to the clean latent; the last step adds no noise. "
        "Theorems: Nie et al., The Blessing of Randomness, ICLR 2024."
    )
