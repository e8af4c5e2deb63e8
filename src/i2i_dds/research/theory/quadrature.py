"""KL without chance: the ODE, the SDE on a line, and the SDE with infinitely many steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from i2i_dds.diffusion.ddim import DDIMCoefficients
from i2i_dds.diffusion.process import CLEAN
from i2i_dds.editing.sde import Pairs
from i2i_dds.research.theory.curves import Curve, curves_of, recorded
from i2i_dds.research.theory.laws import Mixture, Prior
from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.conditioning import Conditioning


def ode(teacher: GaussianMixtureTeacher, pairs: Pairs, priors: Sequence[Prior]) -> list[Curve]:
    """The ODE, by quadrature over its starting points.

    Nodes cover p~_T and are carried down with the log-determinant of every step's Jacobian, so
    that log p~_t is known where they arrive. The nodes' way is the same for all priors.
    """
    start = Mixture.of(teacher, pairs[0][0])
    laws = [prior.law(start) for prior in priors]
    fine = 0.05 if teacher.latent_channels == 1 else 0.25
    nodes, volume = _nodes(laws, fine * _narrowest(laws))
    log_tilde = torch.stack([law.log_density(nodes) for law in laws])
    needed = (log_tilde.exp() > 1e-12).any(0)
    nodes, log_tilde = nodes[needed], log_tilde[:, needed]
    weights = log_tilde.exp() * volume
    kept = recorded(pairs)
    found = [_mean_log_ratio(weights, log_tilde, start.log_density(nodes))]
    for t, u in pairs:
        nodes, log_det = _carried(
            teacher, DDIMCoefficients.of(teacher.process, t, u, eta=0.0), nodes
        )
        log_tilde = log_tilde - log_det
        if u in kept:
            law = Mixture.of(teacher, u)
            found.append(_mean_log_ratio(weights, log_tilde, law.log_density(nodes)))
    return curves_of("ode", teacher.latent_channels, priors, kept, found)


def sde_on_a_line(
    teacher: GaussianMixtureTeacher, pairs: Pairs, priors: Sequence[Prior]
) -> list[Curve]:
    """The SDE in one dimension, by quadrature.

    A step's kernel is N(mu(z_t), sg^2), and the grid's spacing is 0.6 sg at most, where the sum
    over nodes is as good as the integral. The step to CLEAN adds no noise: a change of variables.
    """
    steps_down = [DDIMCoefficients.of(teacher.process, t, u, eta=1.0) for t, u in pairs]
    start = Mixture.of(teacher, pairs[0][0])
    laws = [prior.law(start) for prior in priors]
    everywhere = [*laws, Mixture.of(teacher, CLEAN)]
    finest = 0.25 * _narrowest(everywhere)
    spacings = [min(finest, 0.6 * step.std) for step in steps_down[:-1]]
    spacings.append(spacings[-1] if spacings else finest)

    nodes, volume = _nodes(everywhere, spacings[0])
    density = torch.stack([law.log_density(nodes) for law in laws]).exp()
    kept = recorded(pairs)
    found = [_mean_log_ratio(density * volume, density.log(), start.log_density(nodes))]
    for i, step in enumerate(steps_down):
        mean, log_det = _carried(teacher, step, nodes)
        law = Mixture.of(teacher, step.t_prev)
        if step.t_prev == CLEAN:
            log_tilde = density.log() - log_det
            found.append(_mean_log_ratio(density * volume, log_tilde, law.log_density(mean)))
            break
        new, new_volume = _nodes(everywhere, spacings[i + 1])
        kernel = torch.exp(-0.5 * ((new.T - mean) / step.std) ** 2)
        density = (density * volume) @ kernel / (step.std * math.sqrt(2 * math.pi))
        nodes, volume = new, new_volume
        if step.t_prev in kept:
            found.append(_mean_log_ratio(density * volume, density.log(), law.log_density(nodes)))
    return curves_of("sde", teacher.latent_channels, priors, kept, found)


def sde_limit(
    teacher: GaussianMixtureTeacher, pairs: Pairs, priors: Sequence[Prior], order: int = 14
) -> list[Curve]:
    """The SDE with infinitely many steps, from the closed form of this package's docstring.

    The expectation is a Gauss-Hermite sum of ``order`` nodes an axis, KL a sum over a grid.
    """
    start = Mixture.of(teacher, pairs[0][0])
    laws = [prior.law(start) for prior in priors]
    noise, mass = _gauss_hermite(order, teacher.latent_channels)
    kept = recorded(pairs)
    found = []
    for u in kept:
        law = Mixture.of(teacher, u)
        nodes, volume = _nodes([law], 0.7 * _narrowest([law]))
        density = law.log_density(nodes).exp()
        nodes, density = nodes[density > 1e-10], density[density > 1e-10]
        r = (teacher.process.alpha_at(pairs[0][0]) / teacher.process.alpha_at(u)) ** 2
        z = math.sqrt(r) * nodes[:, None] + math.sqrt(1 - r) * noise  # (nodes, noises, D)
        flat = z.flatten(0, 1)
        log_ratio = torch.stack([law.log_density(flat) for law in laws]) - start.log_density(flat)
        ratio = log_ratio.exp().unflatten(1, z.shape[:2]) @ mass
        # The last two terms integrate to nothing; with them the ratio's error counts squared only.
        gain = torch.xlogy(ratio, ratio) - ratio + 1
        found.append((volume * density * gain).sum(1).tolist())
    return curves_of("sde_limit", teacher.latent_channels, priors, kept, found)


def predict(teacher: GaussianMixtureTeacher, z: Tensor, t: int, text: Conditioning) -> Tensor:
    """The teacher's noise for latents (B, D, 1, 1) at one timestep; ``text`` has one row."""
    return teacher.predict_noise(z, torch.full((len(z),), t), text.expand(len(z)))


def _gauss_hermite(order: int, dimension: int) -> tuple[Tensor, Tensor]:
    """Nodes (N, D) and masses (N,) of a standard normal."""
    points, masses = map(torch.as_tensor, np.polynomial.hermite_e.hermegauss(order))
    nodes = torch.cartesian_prod(*[points] * dimension).reshape(-1, dimension)
    products = torch.cartesian_prod(*[masses / masses.sum()] * dimension).reshape(-1, dimension)
    return nodes, products.prod(1)


def _carried(
    teacher: GaussianMixtureTeacher, step: DDIMCoefficients, nodes: Tensor
) -> tuple[Tensor, Tensor]:
    """The step's mean at the nodes (N, D) and the log-determinant (N,) of its Jacobian."""
    number, dimension = nodes.shape
    text = teacher.embed([""])

    def mean(z: Tensor) -> Tensor:
        z = z[..., None, None]
        return step.mean(z, predict(teacher, z, step.t, text)).flatten(1)

    directions = torch.eye(dimension, dtype=nodes.dtype).repeat_interleave(number, 0)
    to, columns, *_ = torch.func.jvp(mean, (nodes.repeat(dimension, 1),), (directions,))
    jacobian = columns.reshape(dimension, number, dimension).transpose(0, 1)
    return to[:number], torch.linalg.slogdet(jacobian).logabsdet


def _mean_log_ratio(weights: Tensor, log_tilde: Tensor, log_p: Tensor) -> list[float]:
    """KL of each prior from weights and log-densities (P, N), 0 where the weight is."""
    return torch.where(weights > 0, weights * (log_tilde - log_p), 0).sum(1).tolist()


def _nodes(laws: Sequence[Mixture], spacing: float) -> tuple[Tensor, float]:
    """A square grid over all ``laws``, (N, D), and the volume of a cell."""
    half = math.ceil(max(law.reach() for law in laws) / spacing)
    axis = spacing * torch.arange(-half, half + 1, dtype=laws[0].means.dtype)
    dimension = laws[0].means.shape[1]
    grid = torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension)
    return grid, spacing**dimension


def _narrowest(laws: Sequence[Mixture]) -> float:
    return min(law.variances.min().sqrt().item() for law in laws)
