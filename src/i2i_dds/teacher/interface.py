"""What every teacher is able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from i2i_dds.diffusion.process import Process
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.presets import Presets


@runtime_checkable
class Teacher(Protocol):
    """A frozen text-to-image diffusion model over latents.

    What these methods return is free of gradients. Pictures are (B, 3, H, W) in [-1, 1],
    latents (B, C, h, w) with ``h = H / vae_scale_factor``, scaled as the diffusion model wants
    them.
    """

    process: Process
    """How latents are noised."""
    latent_channels: int
    vae_scale_factor: int
    """Pixels per latent cell, along a side."""
    native_size: int
    """Side in pixels of the pictures that it was trained on."""
    nfe: int
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

    def embed(self, prompts: Sequence[str]) -> Conditioning:
        """What the network is told of B prompts, each computed once."""
        ...

    def predict_noise(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """The noise in z_t, (B, C, h, w) of z_t's type, whatever the network itself predicts.

        Args:
            z_t: Noisy latents, (B, C, h, w).
            t: Timesteps, long (B,).
            text: Of the prompts, B rows.
        """
        ...

    def to(self, device: torch.device | str) -> Teacher:
        """Moves it, in place, and returns it."""
        ...


@runtime_checkable
class DifferentiableTeacher(Teacher, Protocol):
    """A teacher whose answer can be differentiated; IDS wants one."""

    def noise_with_graph(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """As :meth:`predict_noise`, with a graph back to z_t where gradients are on."""
        ...


@dataclass(frozen=True)
class AttentionMaps:
    """Where a network looks, as a mean over heads and layers; B items.

    Attributes:
        cross: How much each place looks at each token, (B, L, h', w').
        own: How much each place looks at each place, (B, h''w'', h''w''), rows summing to 1.
        own_size: (h'', w'').
    """

    cross: Tensor
    own: Tensor
    own_size: tuple[int, int]


@runtime_checkable
class AttentionMapTeacher(Teacher, Protocol):
    """A teacher that shows where its cross- and self-attention look; LUSD wants one."""

    def attention_maps(self, z_t: Tensor, t: Tensor, text: Conditioning) -> AttentionMaps:
        """The maps of one pass: cross-attention coarser than self-attention.

        Args:
            z_t: Noisy latents, (B, C, h, w).
            t: Timesteps, long (B,).
            text: Of the prompts, B rows.
        """
        ...


@runtime_checkable
class AttentionTeacher(Teacher, Protocol):
    """A teacher that shows what its self-attention gives out; CDS wants one."""

    def self_attention(
        self, z_t: Tensor, t: Tensor, text: Conditioning, blocks: str = "all"
    ) -> list[Tensor]:
        """Outputs of the self-attention layers in one pass, with a graph back to z_t.

        Args:
            z_t: Noisy latents, (B, C, h, w).
            t: Timesteps, long (B,).
            text: Of the prompts, B rows.
            blocks: "up", those of the decoder alone, or "all".

        Returns:
            One tensor (B, N, C') for each layer; N is its number of places, at most h w.

        Raises:
            UserError: There is no self-attention in these blocks.
        """
        ...


@runtime_checkable
class FeatureTeacher(Teacher, Protocol):
    """A teacher that shows what its blocks give out; the published drag distances want one."""

    @property
    def feature_blocks(self) -> int:
        """How many blocks there are to look at."""
        ...

    @property
    def feature_block(self) -> int:
        """The block that is looked at where none is named."""
        ...

    def features(self, z_t: Tensor, t: Tensor, text: Conditioning, block: int) -> Tensor:
        """What one block gives out, (B, C', h', w'), block 0 being the first.

        Args:
            z_t: Noisy latents, (B, C, h, w).
            t: Timesteps, long (B,).
            text: Of the prompts, B rows.
            block: In [0, feature_blocks).
        """
        ...


@runtime_checkable
class AdaptableTeacher(Teacher, Protocol):
    """A teacher that can learn a picture through a LoRA on its network."""

    @property
    def network(self) -> Any:
        """The network that predicts, a torch module with diffusers' adapter methods."""
        ...

    def training_loss(self, z: Tensor, text: Conditioning, t: Tensor, eps: Tensor) -> Tensor:
        """What the network was trained with: a mean squared error, (B,), with gradients.

        Args:
            z: Clean latents, (B, C, h, w).
            text: Of the prompts, B rows.
            t: Timesteps, long (B,).
            eps: Noise, (B, C, h, w).
        """
        ...
