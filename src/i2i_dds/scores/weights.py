"""Weights w(t) of a score-distillation gradient: ``weight(schedule, t, like) -> (B, 1, 1, 1)``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from i2i_dds.diffusion.schedule import NoiseSchedule

Weight = Callable[[NoiseSchedule, Tensor, Tensor], Tensor]


def constant(schedule: NoiseSchedule, t: Tensor, like: Tensor) -> Tensor:
    """``w = 1``, as in the official DDS notebook."""
    return torch.ones_like(schedule.abar(t, like))


def sigma2(schedule: NoiseSchedule, t: Tensor, like: Tensor) -> Tensor:
    """``w = sigma_t^2``, DreamFusion's choice (Poole et al. 2023, section 3.2)."""
    return schedule.sigma(t, like) ** 2


def clean_units(schedule: NoiseSchedule, t: Tensor, like: Tensor) -> Tensor:
    """``w = sigma_t / alpha_t``: the gradient becomes a difference of clean-latent estimates.

    Since ``z0_hat = (z_t - sigma_t eps_hat) / alpha_t``, weighting the noise by sigma/alpha
    measures it in the units of the latent itself.
    """
    return schedule.sigma(t, like) / schedule.alpha(t, like)
