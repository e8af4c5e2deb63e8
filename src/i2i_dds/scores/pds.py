"""Posterior Distillation Sampling (Koo, Park & Sung, CVPR 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from i2i_dds.checks import check_fields, checked, integer, number
from i2i_dds.diffusion.process import Process
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class PDS:
    """``scale (zt_tgt - zt_src)``, zt being the stochastic latent of a step from t to s < t.

    With the posterior's mean mu of a step of DDPM and its deviation sd, the stochastic latent is
    ``zt = (z_s - mu(z_t, eps_hat)) / sd``. Source and target share eps at t and at s, so that the
    noise cancels and what is left is an identity term and DDS:

        zt_tgt - zt_src = psi (z_tgt - z_src) + chi (eps_hat_tgt - eps_hat_src)
        chi = c0 (sigma_t / alpha_t) / sd        c0 = alpha_s b / sigma_t^2
        psi = (alpha_s - c0 - c1 alpha_t) / sd   c1 = r sigma_s^2 / sigma_t^2
        sd  = sigma_s sqrt(b) / sigma_t          r = alpha_t / alpha_(t-1)
                                                 b = sigma_t^2 - r^2 sigma_(t-1)^2

    The first line and the coefficients are those of the authors' code
    (github.com/KAIST-Visual-AI-Group/PDS, pds/pds.py), where b is beta_t. Their s is two
    timesteps below t (500 steps of 1000), while b and r are of one timestep. With s = t - 1,
    ``c0 + c1 alpha_t = alpha_s`` for any process: psi is 0, and PDS is DDS weighed by chi. So the
    identity term comes of the longer step alone. That, b and r for flows, and an s that ends at 0
    for t < stride, are this project's reading.

    Called as :class:`i2i_dds.scores.dds.DDS` is.

    Attributes:
        stride: t - s in timesteps, at least 1; more holds the source more.
        scale: The paper's w(t), here the same for every t, above 0.
    """

    stride: int = checked(integer(min=1), default=2)
    scale: float = checked(number(above=0), default=1.0)
    takes_eps_src: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)

    @torch.no_grad()
    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """The gradient with respect to z_tgt, (B, C, h, w)."""
        psi, chi = self.weights(teacher.process, inputs.t, inputs.z_tgt)
        identity = psi * (inputs.z_tgt - inputs.z_src)
        return self.scale * (identity + chi * DDS()(teacher, inputs))

    def weights(self, process: Process, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """psi and chi, each (B, 1, ...) of ``like``'s rank, type and device.

        Computed in double precision: psi is a small difference of large numbers.
        """
        t = t.cpu().clamp(min=1)
        wide = torch.empty([1] * like.ndim, dtype=torch.float64)
        s = (t - self.stride).clamp(min=0)
        (a_t, s_t), (a_s, s_s), (a_1, s_1) = (
            (process.alpha(u, wide), process.sigma(u, wide)) for u in (t, s, t - 1)
        )
        ratio = a_t / a_1
        b = s_t**2 - ratio**2 * s_1**2
        c0, c1 = a_s * b / s_t**2, ratio * s_s**2 / s_t**2
        sd = s_s * b.sqrt() / s_t
        psi, chi = (a_s - c0 - c1 * a_t) / sd, c0 * s_t / a_t / sd
        return psi.to(like), chi.to(like)
