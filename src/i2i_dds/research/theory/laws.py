"""Laws with a closed density: a noised data law, and the mismatched priors made from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from i2i_dds.teacher.analytic import GaussianMixtureTeacher


@dataclass(frozen=True)
class Mixture:
    """``sum_k w_k N(m_k, v_k I)`` in D dimensions.

    Attributes:
        means: m_k, (K, D).
        variances: v_k, (K,).
        weights: w_k, (K,), of sum 1.
    """

    means: Tensor
    variances: Tensor
    weights: Tensor

    @classmethod
    def of(cls, teacher: GaussianMixtureTeacher, t: int) -> Mixture:
        """p_t, the data law of ``teacher`` noised to timestep t; itself at CLEAN."""
        abar = teacher.process.alpha_at(t) ** 2
        variances = abar * teacher.stds**2 + 1 - abar
        means = math.sqrt(abar) * teacher.means.flatten(1)
        return cls(means, variances, teacher.weights / teacher.weights.sum())

    def log_density(self, z: Tensor) -> Tensor:
        """(N,) at the points z, (N, D)."""
        squares = z.square().sum(1, keepdim=True) + self.means.square().sum(1)
        distance = squares - 2 * z @ self.means.T
        scale = self.weights.log() - 0.5 * z.shape[1] * (2 * math.pi * self.variances).log()
        return (scale - 0.5 * distance / self.variances).logsumexp(1)

    def cells(self, edges: Tensor) -> Tensor:
        """Probabilities of the cells of a grid, exactly.

        Args:
            edges: Inner edges of one axis, (M - 1,), the same for every axis; the outermost cells
                reach to infinity.

        Returns:
            (M ** D,), the last axis fastest.
        """
        std = self.variances.sqrt()[:, None, None]
        bounds = torch.nn.functional.pad(edges, (1, 1), value=math.inf)
        bounds[0] = -math.inf
        # (K, D, M); a component's coordinates are independent
        axes = torch.special.ndtr((bounds - self.means[..., None]) / std).diff(dim=2)
        joint = self.weights[:, None]
        for axis in axes.unbind(1):
            joint = (joint[:, :, None] * axis[:, None, :]).flatten(1)
        return joint.sum(0)

    def reach(self) -> float:
        """A distance from the origin on every axis that next to nothing exceeds (1e-13)."""
        return (self.means.abs().amax(1) + 7.5 * self.variances.sqrt()).max().item()


@dataclass(frozen=True)
class Prior:
    """An edit of the noisiest latent: ``scale_j x + offset_j`` with probability ``weight_j``.

    Attributes:
        name: What it is called in the results.
        pieces: (weight, scale, offset) each; the offset is a length along (1, ..., 1) / sqrt(D).
    """

    name: str
    pieces: tuple[tuple[float, float, float], ...]

    def law(self, start: Mixture) -> Mixture:
        """The law of the edited latent where x follows ``start``."""
        dimension = start.means.shape[1]
        return Mixture(
            torch.cat([s * start.means + o / math.sqrt(dimension) for _, s, o in self.pieces]),
            torch.cat([s**2 * start.variances for _, s, _ in self.pieces]),
            torch.cat([w * start.weights for w, _, _ in self.pieces]),
        )

    def move(self, x: Tensor, generator: Generator) -> Tensor:
        """Edits latents (B, D, 1, 1)."""
        weights, scales, offsets = torch.tensor(self.pieces, dtype=x.dtype).unbind(1)
        picked = torch.multinomial(weights, len(x), replacement=True, generator=generator)
        scale, offset = scales[picked], offsets[picked] / math.sqrt(x.shape[1])
        return scale.reshape(-1, 1, 1, 1) * x + offset.reshape(-1, 1, 1, 1)


MATCHED = Prior("matched", ((1.0, 1.0, 0.0),))
"""No mismatch: what its curves show is the error of the method."""

PATCH = 2.5
"""The content that the prior "paste" copies in, in standard deviations of the noise."""


def mismatched(shift: float, scale: float, paste: float) -> list[Prior]:
    """Three edits of the noisiest latent, by what they do to it.

    Args:
        shift: Everything moved by this, as a drag moves content.
        scale: Everything multiplied by this; below 1 is too little noise.
        paste: beta of ``beta patch + sqrt(1 - beta^2) x``, in half of the latents.
    """
    kept = math.sqrt(1 - paste**2)
    return [
        Prior("shift", ((1.0, 1.0, shift),)),
        Prior("scale", ((1.0, scale, 0.0),)),
        Prior("paste", ((0.5, 1.0, 0.0), (0.5, kept, paste * PATCH))),
    ]


def data_law(dimension: int) -> GaussianMixtureTeacher:
    """Three unequal clusters on a line (``dimension`` 1) or in the plane (2), with their score."""
    means = {
        1: [[-1.5], [0.2], [1.4]],
        2: [[-1.2, -0.6], [1.0, -0.9], [0.3, 1.3]],
    }[dimension]
    return GaussianMixtureTeacher(
        torch.tensor(means, dtype=torch.float64)[:, :, None, None],
        torch.tensor([0.4, 0.35, 0.5], dtype=torch.float64),
        torch.tensor([0.3, 0.2, 0.5], dtype=torch.float64),
    )
