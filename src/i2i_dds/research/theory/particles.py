"""KL from particles: the SDE in any dimension, and Cycle-SDE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from i2i_dds.diffusion.ddim import DDIMCoefficients, forward_step
from i2i_dds.diffusion.process import CLEAN
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.sde import Pairs, cycle, source_predictions
from i2i_dds.research.theory.curves import Curve, curves_of, recorded
from i2i_dds.research.theory.divergence import count, inner_edges, kl_from_counts
from i2i_dds.research.theory.laws import MATCHED, Mixture, Prior
from i2i_dds.research.theory.quadrature import predict
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

CHUNK = 5000  # particles carried at once: they fit the processor's cache

Tick = Callable[[], object]


def sde_of_particles(
    teacher: GaussianMixtureTeacher,
    pairs: Pairs,
    priors: Sequence[Prior],
    samples: int,
    seed: int,
    tick: Tick = lambda: None,
) -> list[Curve]:
    """The SDE in any dimension, from histograms of ``samples`` particles; ``tick`` each chunk."""
    tally = _Tally(teacher, pairs, priors)
    text = teacher.embed([""])
    for chunk, size in _chunks(samples):
        for prior in priors:
            generator = _generator(seed, "sde", prior.name, chunk)
            y = prior.move(_draw(teacher, pairs[0][0], size, generator), generator)
            tally.add(prior, pairs[0][0], y)
            for t, u in pairs:
                coefficients = DDIMCoefficients.of(teacher.process, t, u, eta=1.0)
                y = coefficients.mean(y, predict(teacher, y, t, text))
                y = y + coefficients.std * torch.randn(y.shape, generator=generator, dtype=y.dtype)
                tally.add(prior, u, y)
        tick()
    return tally.curves("sde")


def cycle_of_particles(
    teacher: GaussianMixtureTeacher,
    pairs: Pairs,
    priors: Sequence[Prior],
    samples: int,
    seed: int,
    tick: Tick = lambda: None,
) -> list[Curve]:
    """Cycle-SDE from histograms of ``samples`` particles; ``tick`` after each chunk.

    Every source x is drawn from the data law and carried up by the forward SDE, and y_T is its own
    x_T, edited. With :data:`~i2i_dds.research.theory.laws.MATCHED` that would return the source
    itself, so there y_T is another particle's x_T: the right law beside a path not its own.
    """
    tally = _Tally(teacher, pairs, priors)
    text = teacher.embed([""])
    for chunk, size in _chunks(samples):
        generator = _generator(seed, "path", chunk)
        path = [_draw(teacher, CLEAN, size, generator)]
        for t, u in reversed(pairs):
            noise = torch.randn(path[-1].shape, generator=generator, dtype=path[-1].dtype)
            path.append(forward_step(teacher.process, path[-1], t, u, noise))
        path.reverse()
        eps_src = source_predictions(teacher, path, text, pairs, guidance_scale=1.0)
        for prior in priors:
            x = path[0].roll(1, 0) if prior == MATCHED else path[0]
            y = prior.move(x, _generator(seed, "cycle", prior.name, chunk))
            tally.add(prior, pairs[0][0], y)
            for step in cycle(teacher, y, path, text, text, pairs, 1.0, eps_src=eps_src):
                tally.add(prior, step.coefficients.t_prev, step.y)
        tick()
    return tally.curves("cycle_sde")


class _Tally:
    """Histograms of particles at the recorded timesteps, filled chunk by chunk."""

    def __init__(
        self, teacher: GaussianMixtureTeacher, pairs: Pairs, priors: Sequence[Prior]
    ) -> None:
        self.teacher, self.priors, self.kept = teacher, priors, recorded(pairs)
        self.laws = {t: Mixture.of(teacher, t) for t in self.kept}
        self.edges = {t: inner_edges(law) for t, law in self.laws.items()}
        self.counts: dict[tuple[str, int], Tensor] = {}

    def add(self, prior: Prior, t: int, z: Tensor) -> None:
        if t in self.edges:
            found = count(z.flatten(1), self.edges[t])
            self.counts[prior.name, t] = self.counts.get((prior.name, t), 0) + found

    def curves(self, sampler: str) -> list[Curve]:
        cells = {t: self.laws[t].cells(self.edges[t]) for t in self.kept}
        found = [
            [kl_from_counts(self.counts[prior.name, t], cells[t]) for prior in self.priors]
            for t in self.kept
        ]
        dimension = self.teacher.latent_channels
        return curves_of(sampler, dimension, self.priors, self.kept, found)


def _chunks(samples: int) -> Iterator[tuple[int, int]]:
    for chunk, first in enumerate(range(0, samples, CHUNK)):
        yield chunk, min(CHUNK, samples - first)


def _generator(seed: int, *names: object) -> torch.Generator:
    return item_generators(seed, ["/".join(map(str, names))])[0]


def _draw(
    teacher: GaussianMixtureTeacher, t: int, number: int, generator: torch.Generator
) -> Tensor:
    """Latents (number, D, 1, 1) of p_t."""
    law = Mixture.of(teacher, t)
    picked = torch.multinomial(law.weights, number, replacement=True, generator=generator)
    noise = torch.randn(number, law.means.shape[1], generator=generator, dtype=law.means.dtype)
    return (law.means[picked] + law.variances[picked].sqrt()[:, None] * noise)[..., None, None]
