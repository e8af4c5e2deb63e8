"""One step of a sampler: DDIM, DDPM and what lies between, of any process.

Notation: one reverse step goes from timestep t to t_prev < t, here u, and :meth:`Process.pairs
<i2i_dds.diffusion.process.Process.pairs>` lists the timestep pairs of a whole run, down to the
clean latent. With ``z_t = alpha_t z + sigma_t eps`` and ``r = alpha_t / alpha_u``, the forward
process from u to t multiplies by r and adds noise of variance ``sigma_t^2 - r^2 sigma_u^2``.

    std^2 = eta^2 sigma_u^2 / sigma_t^2 (sigma_t^2 - r^2 sigma_u^2)    eta = 0: ODE; 1: SDE
    mean  = alpha_u z0_hat + sqrt(sigma_u^2 - std^2) eps_hat           (Song et al. 2021, eq. 12)
          = coef_z z_t + coef_eps eps_hat                              the same, z0_hat written out
    z_u   = mean + std noise                                           the step

Of a variance preserving process this is DDIM and, at eta = 1, DDPM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from i2i_dds.diffusion.process import Process


@dataclass(frozen=True)
class DDIMCoefficients:
    """The numbers of one reverse step, computed in double precision.

    Attributes:
        t: Timestep it starts from.
        t_prev: Timestep it leads to, below t; :data:`~i2i_dds.diffusion.process.CLEAN` at the end.
        coef_z: What multiplies z_t in its mean, ``alpha_u / alpha_t``.
        coef_eps: What multiplies eps_hat in its mean; negative.
        std: The size of its fresh noise.
    """

    t: int
    t_prev: int
    coef_z: float
    coef_eps: float
    std: float

    @classmethod
    def of(cls, process: Process, t: int, t_prev: int, eta: float) -> DDIMCoefficients:
        """The step from t to t_prev with ``eta`` in [0, 1]."""
        sigma_t, sigma_prev = process.sigma_at(t), process.sigma_at(t_prev)
        variance = eta**2 * (sigma_prev / sigma_t) ** 2 * _forward_variance(process, t, t_prev)
        coef_z = process.alpha_at(t_prev) / process.alpha_at(t)
        coef_eps = math.sqrt(max(0.0, sigma_prev**2 - variance)) - coef_z * sigma_t
        return cls(t, t_prev, coef_z, coef_eps, math.sqrt(variance))

    def mean(self, z_t: Tensor, eps_hat: Tensor) -> Tensor:
        """The step without its noise; z_t and eps_hat (B, C, h, w)."""
        return self.coef_z * z_t + self.coef_eps * eps_hat

    def delta(self, y_t: Tensor, x_t: Tensor, eps_tgt: Tensor, eps_src: Tensor) -> Tensor:
        """``mean(y_t) - mean(x_t)``, exactly 0 where the sides are equal; all (B, C, h, w)."""
        return self.coef_z * (y_t - x_t) + self.coef_eps * (eps_tgt - eps_src)


def forward_step(process: Process, z_prev: Tensor, t: int, t_prev: int, noise: Tensor) -> Tensor:
    """The forward SDE from t_prev to t: ``r z_prev + sqrt(sigma_t^2 - r^2 sigma_prev^2) noise``."""
    ratio = process.alpha_at(t) / process.alpha_at(t_prev)
    return ratio * z_prev + math.sqrt(_forward_variance(process, t, t_prev)) * noise


def _forward_variance(process: Process, t: int, t_prev: int) -> float:
    ratio = process.alpha_at(t) / process.alpha_at(t_prev)
    return process.sigma_at(t) ** 2 - (ratio * process.sigma_at(t_prev)) ** 2
