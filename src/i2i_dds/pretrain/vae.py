"""The pocket autoencoders: `AutoencoderKL`, as in Stable Diffusion, for small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from i2i_dds.pretrain.stage import Stage


def new_vae(
    channels: Sequence[int] = (16, 48, 96), latent_channels: int = 4, size: int = 64
) -> AutoencoderKL:
    """An untrained autoencoder that halves the side between levels.

    The log-variance head starts at -6: with unit posterior noise the untrained means drown and
    the decoder settles for the mean picture.

    Args:
        channels: width of each level; the side shrinks by `2 ** (len(channels) - 1)`.
        latent_channels: channels of the latent.
        size: side of the pictures it will be trained on, in pixels.
    """
    levels = len(channels)
    config: dict[str, Any] = {
        "latent_channels": latent_channels,
        "block_out_channels": tuple(channels),
        "layers_per_block": 1,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "norm_num_groups": 8,
        "sample_size": size,
    }
    vae = AutoencoderKL(**config)
    with torch.no_grad():
        head = vae.quant_conv
        assert head is not None and head.bias is not None
        head.weight[latent_channels:].mul_(0.1)
        head.bias[latent_channels:].fill_(-6.0)
    return vae


class VAEStage(Stage):
    """Reconstruction (L1 and squared error) with a light pull of the posterior to N(0, 1).

    Some steps ask for more: shrunken latents must decode to the shrunken pictures. Latents that
    obey are smoother, and a denoiser learns them in fewer steps (EQ-VAE, Kouzelis et al., 2025).

    Args:
        vae: trained.
        kl_weight: of the pull.
        shrunken: share of steps with shrunken latents, in [0, 1].
        **stage: see `Stage`.
    """

    def __init__(
        self, vae: AutoencoderKL, kl_weight: float = 1e-4, shrunken: float = 0.0, **stage: Any
    ) -> None:
        super().__init__(**stage)
        self.vae = vae
        self.kl_weight, self.shrunken = kl_weight, shrunken

    def loss(self, batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Terms of the loss for pictures (batch, 3, side, side) in [-1, 1]."""
        x = batch
        posterior = self.vae.encode(x).latent_dist  # type: ignore[union-attr]
        noise = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
        z = posterior.mean + posterior.std * noise
        if float(torch.rand((), generator=generator)) < self.shrunken:
            z, x = _shrunken(z, x, generator)
        y = self.vae.decode(z).sample  # type: ignore[union-attr]
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        return {**_reconstruction(y, x), "kl": self.kl_weight * kl}


class LatentBatch(NamedTuple):
    """What one step of the decoder sees.

    Attributes:
        latents: as the encoder gives them, neither shifted nor scaled, shape (batch, c, h, w).
        images: their pictures in [-1, 1], shape (batch, 3, side, side).
    """

    latents: Tensor
    images: Tensor


class DecoderStage(Stage):
    """Reconstruction from latents that stay as they are, so that who learned them need not again.

    Args:
        vae: its decoder is trained, its encoder is not.
        **stage: see `Stage`.
    """

    def __init__(self, vae: AutoencoderKL, **stage: Any) -> None:
        super().__init__(**stage)
        self.vae = vae
        for part in (vae.encoder, vae.quant_conv):
            assert part is not None
            part.requires_grad_(False)

    def loss(self, batch: LatentBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """The terms of `VAEStage` that judge the decoded picture."""
        return _reconstruction(self.vae.decode(batch.latents).sample, batch.images)  # type: ignore[union-attr]


def _reconstruction(y: Tensor, x: Tensor) -> dict[str, Tensor]:
    return {"l1": (y - x).abs().mean(), "mse": 2 * (y - x).square().mean()}


def _shrunken(z: Tensor, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Latents and pictures at 4/8 to 7/8 of their side, whose cells stay whole."""
    cells = z.shape[-1]
    eighths = int(torch.randint(4, 8, (), generator=generator))
    shrunk = max(1, cells * eighths // 8)
    side = x.shape[-1] * shrunk // cells
    return (
        F.interpolate(z.float(), size=shrunk, mode="bilinear", antialias=True),
        F.interpolate(x, size=side, mode="bilinear", antialias=True),
    )


@torch.no_grad()
def set_scaling(vae: AutoencoderKL, x: Tensor, shift: bool = False) -> None:
    """Writes into the config what makes latents have a standard deviation of 1.

    Args:
        vae: changed in place.
        x: the pictures (n, 3, side, side) whose latents are measured.
        shift: whether their mean is written too, as Stable Diffusion 3 has it.
    """
    vae.eval()
    z = torch.cat([vae.encode(part).latent_dist.mean for part in x.split(64)])  # type: ignore[union-attr]
    vae.register_to_config(scaling_factor=1.0 / float(z.std()))
    if shift:
        vae.register_to_config(shift_factor=float(z.mean()))


@torch.no_grad()
def scaled_latents(vae: AutoencoderKL, x: Tensor) -> Tensor:
    """The posterior means of pictures x, shifted and scaled as the config says."""
    mean = vae.encode(x).latent_dist.mean  # type: ignore[union-attr]
    return (mean - (vae.config["shift_factor"] or 0.0)) * vae.config["scaling_factor"]


def unscaled(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """What `scaled_latents` shifted and scaled, as it was."""
    return latents / vae.config["scaling_factor"] + (vae.config["shift_factor"] or 0.0)
