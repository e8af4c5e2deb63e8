"""The pocket CLIP: both towers of `CLIPModel`, contrastive on Critters."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from i2i_dds.pretrain.stage import Stage
from i2i_dds.pretrain.text import text_config


def new_clip(tokenizer: CLIPTokenizer, width: int = 128, layers: int = 4) -> CLIPModel:
    """An untrained CLIP for pictures of 64 px in patches of 8."""
    text = text_config(tokenizer, width, 2)
    vision = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "image_size": 64,
        "patch_size": 8,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=width))


def new_image_processor() -> CLIPImageProcessor:
    """Pictures to 64 px and [-1, 1]."""
    return CLIPImageProcessor(
        size={"shortest_edge": 64},
        crop_size={"height": 64, "width": 64},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


class PairBatch(NamedTuple):
    """Pictures (batch, 3, 64, 64) in [-1, 1] and their captions' tokens (batch, length)."""

    images: Tensor
    tokens: Tensor


class CLIPStage(Stage):
    """The symmetric contrastive loss of CLIP (Radford et al., 2021)."""

    def __init__(self, clip: CLIPModel, **stage: Any) -> None:
        super().__init__(**stage)
        self.clip = clip

    def loss(self, batch: PairBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of rows and of columns; nothing is drawn."""
        out = self.clip(input_ids=batch.tokens, pixel_values=batch.images, return_loss=True)
        return {"contrastive": out.loss}
