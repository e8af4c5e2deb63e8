"""Weights w(t) of a score-distillation gradient: ``weight(process, t, like) -> (B, 1, 1, 1)``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from i2i_dds.diffusion.process import Process

Weight = Callable[[Process, Tensor, Tensor], Tensor]


def constant(process: Process, t: Tensor, like: Tensor) -> Tensor:
    """``w = 1``, as in the official DDS notebook."""
    return torch.ones_like(process.alpha(t, like))


def sigma2(process: Process, t: Tensor, like: Tensor) -> Tensor:
    """``w = sigma_t^2``, DreamFusion's choice (Poole et al. 2023, section 3.2)."""
    return process.sigma(t, like) ** 2


def clean_units(process: Process, t: Tensor, like: Tensor) -> Tensor:
    """``w = sigma_t / alpha_t``: the gradient becomes a difference of clean-latent estimates.

    Since ``z0_hat = (z_t - sigma_t eps_hat) / alpha_t``, weighting the noise by sigma/alpha
    measures it in the units of the latent itself.
    """
    return process.sigma(t, like) / process.alpha(t, like)


def velocity_units(process: Process, t: Tensor, like: Tensor) -> Tensor:
    """``w = 1 + sigma_t / alpha_t``: the gradient becomes one of a flow's residuals.

    Of a rectified flow this is ``1 / (1 - t)``, see :mod:`i2i_dds.scores.dds`. Of other processes
    it is the same at the flow time ``sigma_t / (alpha_t + sigma_t)``.
    """
    return 1 + process.sigma(t, like) / process.alpha(t, like)
