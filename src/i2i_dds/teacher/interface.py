"""What every teacher is able to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from i2i_dds.diffusion.schedule import NoiseSchedule
from i2i_dds.teacher.presets import Presets


@runtime_checkable
class Teacher(Protocol):
    """A frozen text-to-image diffusion model over latents.

    Everything a teacher returns is free of gradients. Pictures are (B, 3, H, W) in [-1, 1],
    latents (B, C, h, w) with ``h = H / downscale``, scaled as the diffusion model wants them.
    """

    schedule: NoiseSchedule
    latent_channels: int
    downscale: int
    """Pixels per latent cell, along a side."""
    native_size: int
    """Side in pixels of the pictures that it was trained on."""
    evaluations: int
    """Rows passed through the noise predictor so far."""
    presets: Presets
    """What works best with it, by editor."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The type it computes in."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """The posterior mean of pictures x, scaled: latents of x's type, on the teacher's device.

        The mean and not a sample, so that a picture always has the same latent.
        """
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Pictures of latents z, clamped to [-1, 1], of z's type."""
        ...

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """Text embeddings (B, L, D), each prompt computed once."""
        ...

    def predict_noise(self, z_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """The noise in z_t, (B, C, h, w) of z_t's type, whatever the network itself predicts.

        Args:
            z_t: Noisy latents, (B, C, h, w).
            t: Timesteps, long (B,).
            text: Embeddings, (B, L, D).
        """
        ...

    def to(self, device: torch.device | str) -> Teacher:
        """Moves it, in place, and returns it."""
        ...
