"""Writes FLUX.1 checkpoints of the true shape with random weights, offline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from diffusers import __version__ as diffusers_version
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel

from i2i_dds.errors import UserError
from i2i_dds.teacher.placement import resolve_dtype
from i2i_dds.teacher.random_sd3 import letter_tokenizer
from i2i_dds.teacher.random_weights import byte_tokenizer, clip_config, write_random


@dataclass(frozen=True)
class FluxShape:
    """What the networks are built from, as their diffusers and transformers configs.

    Attributes:
        transformer: For FluxTransformer2DModel.
        vae: For AutoencoderKL.
        clip: For CLIPTextConfig.
        t5: For T5Config.
    """

    transformer: dict[str, Any]
    vae: dict[str, Any]
    clip: dict[str, Any]
    t5: dict[str, Any]


FLUX_SHAPES = {
    "flux": FluxShape(
        transformer={},  # as diffusers has it
        vae={
            "sample_size": 1024,
            "block_out_channels": (128, 256, 512, 512),
            "layers_per_block": 2,
        },
        clip=clip_config(768, 12, 12, 49408, "quick_gelu"),
        t5={
            "vocab_size": 32128,
            "d_model": 4096,
            "d_kv": 64,
            "d_ff": 10240,
            "num_layers": 24,
            "num_heads": 64,
        },
    ),
    "tiny": FluxShape(
        transformer={
            "num_layers": 2,
            "num_single_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "joint_attention_dim": 20,
            "pooled_projection_dim": 16,
            "axes_dims_rope": (4, 6, 6),
        },
        vae={
            "sample_size": 32,
            "block_out_channels": (8, 8, 16),
            "layers_per_block": 1,
            "norm_num_groups": 4,
        },
        clip=clip_config(16, 2, 2, 514, "quick_gelu"),
        t5={"d_model": 20, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
    ),
}


def build_random_flux(
    folder: str | Path,
    size: str = "tiny",
    seed: int = 0,
    dtype: str | torch.dtype = "float32",
    guided: bool = True,
) -> Path:
    """Writes a FLUX.1 folder in diffusers' format, aside first and then renamed.

    Args:
        folder: Where to; must not exist, or be empty.
        size: "flux" (11.9 billion weights in the transformer, 4.8 in T5) or "tiny" (latents a
            quarter of the picture's side).
        seed: Of the weights. The global random state is left as it was.
        dtype: Of the weights: "float32", "float16", "bfloat16".
        guided: Whether the network is told a scale of guidance, as dev is and schnell is not.

    Returns:
        The folder.

    Raises:
        UserError: ``size`` is unknown, or the folder holds files.
    """
    if size not in FLUX_SHAPES:
        raise UserError(f"size: '{size}' is unknown; give one of {', '.join(FLUX_SHAPES)}")
    shape, dtype = FLUX_SHAPES[size], resolve_dtype(dtype, torch.device("cpu"))
    tokenizer = byte_tokenizer()
    shift: Any = {"use_dynamic_shifting": True, "shift": 3.0} if guided else {"shift": 1.0}
    scheduler = FlowMatchEulerDiscreteScheduler(
        base_shift=0.5, max_shift=1.15, base_image_seq_len=256, max_image_seq_len=4096, **shift
    )
    others: dict[str, Any] = {
        "tokenizer": tokenizer,
        "tokenizer_2": letter_tokenizer(),
        "scheduler": scheduler,
    }
    networks = _builders(shape, tokenizer, guided)
    return write_random(folder, networks, others, _MODEL_INDEX, seed, dtype)


def flux_transformer_from(shape: FluxShape, guided: bool = True) -> FluxTransformer2DModel:
    """The shape's velocity predictor, randomly initialized."""
    return FluxTransformer2DModel(in_channels=64, guidance_embeds=guided, **shape.transformer)


def _builders(
    shape: FluxShape, tokenizer: CLIPTokenizer, guided: bool
) -> dict[str, Callable[[], Any]]:
    clip: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **shape.clip,
    }
    levels = len(shape.vae["block_out_channels"])
    vae: dict[str, Any] = {
        "latent_channels": 16,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        **shape.vae,
    }
    t5: dict[str, Any] = {
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "vocab_size": len(letter_tokenizer()),
        **shape.t5,
    }
    return {
        "transformer": lambda: flux_transformer_from(shape, guided),
        "vae": lambda: AutoencoderKL(**vae),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**clip)),
        "text_encoder_2": lambda: T5EncoderModel(T5Config(**t5)),
    }


_MODEL_INDEX = {
    "_class_name": "FluxPipeline",
    "_diffusers_version": diffusers_version,
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "T5Tokenizer"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
