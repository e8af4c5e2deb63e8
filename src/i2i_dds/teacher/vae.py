"""The autoencoder of a latent diffusion model, with the scale and shift its config names."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def encode_scaled(vae: Any, x: Tensor) -> Tensor:
    """``(mean - shift) * scale`` of pictures x (B, 3, H, W) in [-1, 1], of x's type.

    The posterior's mean and not a sample, so that a picture always has the same latent.
    """
    mean = vae.encode(x.to(vae.device, vae.dtype)).latent_dist.mode()
    return (mean.to(x.dtype) - _shift(vae)) * vae.config.scaling_factor


def decode_scaled(vae: Any, z: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) of latents z (B, C, h, w), clamped to [-1, 1], of z's type."""
    unscaled = z / vae.config.scaling_factor + _shift(vae)
    return vae.decode(unscaled.to(vae.device, vae.dtype)).sample.to(z.dtype).clamp(-1, 1)


def _shift(vae: Any) -> float:
    return getattr(vae.config, "shift_factor", None) or 0.0
