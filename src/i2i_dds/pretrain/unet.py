"""The pocket text-to-image UNet, trained on latents together with its text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from i2i_dds.diffusion.process import VariancePreserving
from i2i_dds.pretrain.stage import Stage


def new_unet(
    text_width: int, channels: tuple[int, ...] = (48, 96, 160), head_width: int = 32
) -> UNet2DConditionModel:
    """An untrained UNet of Stable Diffusion's make for latents of 16 x 16.

    Text is attended to at every level, the finest too: that is what ties a word to a place.

    Args:
        text_width: of the text encoder.
        channels: width of each level.
        head_width: of an attention head.
    """
    levels = len(channels)
    config: dict[str, Any] = {
        "sample_size": 16,
        "block_out_channels": channels,
        "layers_per_block": 1,
        "cross_attention_dim": text_width,
        # Diffusers calls the number of heads so, for Stable Diffusion 1's sake.
        "attention_head_dim": tuple(max(1, c // head_width) for c in channels),
        "norm_num_groups": 16,
        "down_block_types": ("CrossAttnDownBlock2D",) * levels,
        "up_block_types": ("CrossAttnUpBlock2D",) * levels,
    }
    return UNet2DConditionModel(**config)


class NoisyBatch(NamedTuple):
    """What one step sees.

    Attributes:
        latents: clean, scaled, shape (batch, 4, h, w).
        tokens: of the captions, shape (batch, length); some rows are the empty prompt's.
    """

    latents: Tensor
    tokens: Tensor


class UNetStage(Stage):
    """Noise prediction with min-SNR weights (Hang et al., ICCV 2023).

    Args:
        unet: trained.
        text_encoder: trained with it.
        process: the noise schedule.
        snr_cap: gamma of min-SNR; the weight of a step is min(snr, gamma) / snr.
        **stage: see `Stage`.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        process: VariancePreserving,
        snr_cap: float = 5.0,
        **stage: Any,
    ) -> None:
        super().__init__(**stage)
        self.unet, self.text_encoder = unet, text_encoder
        self.process, self.snr_cap = process, snr_cap

    def loss(self, batch: NoisyBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """The weighted squared error of the noise."""
        z = batch.latents
        t = torch.randint(0, len(self.process), (len(z),), generator=generator).to(z.device)
        eps = torch.randn(z.shape, generator=generator).to(z)
        text = self.text_encoder(batch.tokens).last_hidden_state
        out = self.unet(self.process.mix(z, eps, t), t, encoder_hidden_states=text).sample
        snr = self.process.snr(t)
        weight = (snr.clamp(max=self.snr_cap) / snr.clamp(min=1e-8)).to(z)
        error = (out - eps).square().mean((1, 2, 3))
        return {"mse": (weight * error).mean()}


class CaptionTokens:
    """Several captions of every scene, tokenized once.

    Args:
        tokenizer: of the text encoder.
        captions: one list a scene-caption pass, each of length n.
        drop: share of rows whose caption is replaced by the empty prompt, in [0, 1].
    """

    def __init__(
        self, tokenizer: CLIPTokenizer, captions: Sequence[list[str]], drop: float = 0.1
    ) -> None:
        self.tokens = torch.stack([tokenize_prompts(tokenizer, c) for c in captions], 1).short()
        self.empty = tokenize_prompts(tokenizer, [""])
        self.drop = drop

    def __call__(self, index: Tensor, step: int) -> Tensor:
        """Tokens (len(index), length) for step number `step`, which seeds the choice."""
        generator = torch.Generator().manual_seed(0xCAFE + step)
        which = torch.randint(0, self.tokens.shape[1], (len(index),), generator=generator)
        dropped = torch.rand(len(index), generator=generator) < self.drop
        tokens = self.tokens[index, which].long()
        return torch.where(dropped[:, None], self.empty, tokens)


def tokenize_prompts(tokenizer: CLIPTokenizer, prompts: list[str]) -> Tensor:
    """Token numbers, shape (len(prompts), tokenizer.model_max_length)."""
    encoded = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
    return encoded["input_ids"]
