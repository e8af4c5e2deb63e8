"""The beta tables that diffusers' scheduler configs name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from i2i_dds.errors import UserError

KINDS = ("linear", "scaled_linear", "squaredcos_cap_v2")


def linear_betas(start: float, end: float, steps: int) -> Tensor:
    """DDPM's table: beta grows linearly. Float64, shape (steps,)."""
    return torch.linspace(start, end, steps, dtype=torch.float64)


def scaled_linear_betas(start: float, end: float, steps: int) -> Tensor:
    """Latent diffusion's table: sqrt(beta) grows linearly. Float64, shape (steps,)."""
    return torch.linspace(math.sqrt(start), math.sqrt(end), steps, dtype=torch.float64) ** 2


def cosine_betas(steps: int, largest: float = 0.999) -> Tensor:
    """The cosine table (Nichol & Dhariwal 2021, eq. 17), betas capped at ``largest``."""
    s = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    abar = torch.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - abar[1:] / abar[:-1]).clamp(max=largest)


def zero_terminal_snr(betas: Tensor) -> Tensor:
    """Shift and stretch sqrt(abar) so that its last entry is 0 (Lin et al. 2024, algorithm 1)."""
    root = torch.cumprod(1 - betas, 0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    abar = root**2
    return 1 - torch.cat([abar[:1], abar[1:] / abar[:-1]])


def betas_from_config(config: Mapping[str, Any]) -> Tensor:
    """The table of a diffusers scheduler config, float64, shape (T,).

    Raises:
        UserError: ``beta_schedule`` is not one of :data:`KINDS` and no table is given.
    """
    start, end = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    steps = int(config.get("num_train_timesteps", 1000))
    kind = config.get("beta_schedule", "linear")
    if config.get("trained_betas") is not None:
        betas = torch.as_tensor(config["trained_betas"], dtype=torch.float64)
    elif kind == "linear":
        betas = linear_betas(start, end, steps)
    elif kind == "scaled_linear":
        betas = scaled_linear_betas(start, end, steps)
    elif kind == "squaredcos_cap_v2":
        betas = cosine_betas(steps)
    else:
        raise UserError(
            f"scheduler.beta_schedule: '{kind}' is not supported; "
            f"use a teacher with one of {', '.join(KINDS)}, or trained_betas"
        )
    return zero_terminal_snr(betas) if config.get("rescale_betas_zero_snr") else betas
