"""How an autoencoder's latents are scaled for the network that predicts, and back.

Most have one shift and one scale. FLUX.2's has a mean and a deviation for each channel and each
place in a patch of 2 x 2 cells, which is what one token of its network is made of.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def scale_latents(vae: Any, mean: Tensor) -> Tensor:
    """``(mean - shift) * scale``, or ``(mean - mean') / std'`` by channel and place.

    Args:
        vae: AutoencoderKL, or AutoencoderKLFlux2.
        mean: What it encodes to, (B, C, h, w); sides that a patch does not divide are taken.
    """
    if has_statistics(vae):
        shift, deviation = _statistics(vae, mean)
        return (mean - shift) / deviation
    return (mean - _shift(vae)) * vae.config["scaling_factor"]


def unscale_latents(vae: Any, z: Tensor) -> Tensor:
    """The inverse of :func:`scale_latents`: what the autoencoder decodes, (B, C, h, w)."""
    if has_statistics(vae):
        shift, deviation = _statistics(vae, z)
        return z * deviation + shift
    return z / vae.config["scaling_factor"] + _shift(vae)


def has_statistics(vae: Any) -> bool:
    """Whether latents are scaled by channel and place and not by two numbers."""
    return getattr(vae, "bn", None) is not None


def _shift(vae: Any) -> float:
    return vae.config.get("shift_factor") or 0.0


def _statistics(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Means and deviations, (C, h, w) each, of the size and type of ``like``."""
    rows, columns = vae.config["patch_size"]
    down = torch.arange(like.shape[-2], device=like.device) % rows
    across = torch.arange(like.shape[-1], device=like.device) % columns
    deviation = (vae.bn.running_var + vae.config["batch_norm_eps"]).sqrt()
    mean, deviation = (
        one.to(like.device, like.dtype).view(-1, rows, columns)[:, down[:, None], across]
        for one in (vae.bn.running_mean, deviation)
    )
    return mean, deviation
