"""Writes Stable Diffusion XL checkpoints of the true shape with random weights, offline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers import __version__ as diffusers_version
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from i2i_dds.errors import UserError
from i2i_dds.teacher.placement import resolve_dtype
from i2i_dds.teacher.random_weights import byte_tokenizer, clip_config, sd_scheduler, write_random


@dataclass(frozen=True)
class SDXLShape:
    """What the networks are built from, as their diffusers and transformers configs.

    Attributes:
        unet: For UNet2DConditionModel.
        vae: For AutoencoderKL.
        clips: For both CLIPTextConfig.
    """

    unet: dict[str, Any]
    vae: dict[str, Any]
    clips: tuple[dict[str, Any], dict[str, Any]]


SDXL_SHAPES = {
    "sdxl": SDXLShape(
        unet={
            "sample_size": 128,
            "block_out_channels": (320, 640, 1280),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "layers_per_block": 2,
            "cross_attention_dim": 2048,
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        vae={
            "sample_size": 1024,
            "block_out_channels": (128, 256, 512, 512),
            "layers_per_block": 2,
        },
        clips=(
            clip_config(768, 12, 12, 49408, "quick_gelu"),
            clip_config(1280, 32, 20, 49408, "gelu"),
        ),
    ),
    "tiny": SDXLShape(
        unet={
            "sample_size": 8,
            "block_out_channels": (8, 16, 32),
            "transformer_layers_per_block": 1,
            "attention_head_dim": (1, 2, 2),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "cross_attention_dim": 28,
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 12 + 6 * 8,
        },
        vae={
            "sample_size": 32,
            "block_out_channels": (8, 8, 16),
            "layers_per_block": 1,
            "norm_num_groups": 4,
        },
        clips=(clip_config(16, 2, 2, 514, "quick_gelu"), clip_config(12, 2, 2, 514, "gelu")),
    ),
}


def build_random_sdxl(
    folder: str | Path,
    size: str = "sdxl",
    seed: int = 0,
    dtype: str | torch.dtype = "float32",
) -> Path:
    """Writes a Stable Diffusion XL folder in diffusers' format, aside first and then renamed.

    Args:
        folder: Where to; must not exist, or be empty.
        size: "sdxl" (2.57 billion weights in the UNet, 3.47 in all) or "tiny" (latents a quarter
            of the picture's side, 32 or 64 px).
        seed: Of the weights. The global random state is left as it was.
        dtype: Of the weights: "float32", "float16", "bfloat16".

    Returns:
        The folder.

    Raises:
        UserError: ``size`` is unknown, or the folder holds files.
    """
    if size not in SDXL_SHAPES:
        raise UserError(f"size: '{size}' is unknown; give one of {', '.join(SDXL_SHAPES)}")
    shape, dtype = SDXL_SHAPES[size], resolve_dtype(dtype, torch.device("cpu"))
    tokenizer = byte_tokenizer()
    others: dict[str, Any] = {"tokenizer": tokenizer, "tokenizer_2": tokenizer}
    others["scheduler"] = sd_scheduler("epsilon")
    return write_random(folder, _builders(shape, tokenizer), others, _MODEL_INDEX, seed, dtype)


def sdxl_unet_from(shape: SDXLShape) -> UNet2DConditionModel:
    """The shape's noise predictor, randomly initialized."""
    config: dict[str, Any] = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        **shape.unet,
    }
    return UNet2DConditionModel(in_channels=4, out_channels=4, **config)


def _builders(shape: SDXLShape, tokenizer: CLIPTokenizer) -> dict[str, Callable[[], Any]]:
    marks: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    first, second = (CLIPTextConfig(**clip, **marks) for clip in shape.clips)
    levels = len(shape.vae["block_out_channels"])
    vae: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "scaling_factor": 0.13025,
        **shape.vae,
    }
    return {
        "unet": lambda: sdxl_unet_from(shape),
        "vae": lambda: AutoencoderKL(latent_channels=4, **vae),
        "text_encoder": lambda: CLIPTextModel(first),
        "text_encoder_2": lambda: CLIPTextModelWithProjection(second),
    }


_MODEL_INDEX = {
    "_class_name": "StableDiffusionXLPipeline",
    "_diffusers_version": diffusers_version,
    "feature_extractor": [None, None],
    "force_zeros_for_empty_prompt": True,
    "image_encoder": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
