"""Writes Stable Diffusion 3 checkpoints of the true shape with random weights, offline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from diffusers import __version__ as diffusers_version
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from i2i_dds.errors import UserError
from i2i_dds.teacher.placement import resolve_dtype
from i2i_dds.teacher.random_weights import byte_tokenizer, clip_config, write_random


@dataclass(frozen=True)
class SD3Shape:
    """What the networks are built from, as their diffusers and transformers configs.

    Attributes:
        transformer: For SD3Transformer2DModel.
        vae: For AutoencoderKL.
        clips: For both CLIPTextConfig.
        t5: For T5Config.
        shift: Of the flow's timesteps.
    """

    transformer: dict[str, Any]
    vae: dict[str, Any]
    clips: tuple[dict[str, Any], dict[str, Any]]
    t5: dict[str, Any]
    shift: float = 3.0


_VAE = {
    "sample_size": 1024,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
}
_MMDIT = {
    "sample_size": 128,
    "num_layers": 24,
    "num_attention_heads": 24,
    "attention_head_dim": 64,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
}
_FULL: dict[str, Any] = {
    "vae": _VAE,
    "clips": (
        clip_config(768, 12, 12, 49408, "quick_gelu"),
        clip_config(1280, 32, 20, 49408, "gelu"),
    ),
    "t5": {
        "vocab_size": 32128,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
    },
}
SD3_SHAPES = {
    "sd3_medium": SD3Shape(transformer={**_MMDIT, "pos_embed_max_size": 192}, **_FULL),
    "sd35_medium": SD3Shape(
        transformer={
            **_MMDIT,
            "pos_embed_max_size": 384,
            "qk_norm": "rms_norm",
            "dual_attention_layers": tuple(range(13)),
        },
        **_FULL,
    ),
    "tiny": SD3Shape(
        transformer={
            "sample_size": 8,
            "num_layers": 2,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "joint_attention_dim": 40,
            "caption_projection_dim": 32,
            "pooled_projection_dim": 28,
            "pos_embed_max_size": 8,
            "qk_norm": "rms_norm",
        },
        vae={
            "sample_size": 32,
            "block_out_channels": (8, 8, 16),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "scaling_factor": 1.5305,
            "shift_factor": 0.0609,
        },
        clips=(clip_config(16, 2, 2, 514, "quick_gelu"), clip_config(12, 2, 2, 514, "gelu")),
        t5={"d_model": 40, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
    ),
}


def build_random_sd3(
    folder: str | Path,
    size: str = "sd35_medium",
    seed: int = 0,
    dtype: str | torch.dtype = "float32",
    t5: bool = False,
    second_clip: bool = True,
) -> Path:
    """Writes a Stable Diffusion 3 folder in diffusers' format, aside first and then renamed.

    Args:
        folder: Where to; must not exist, or be empty.
        size: "sd3_medium" (2.0 billion weights in the transformer), "sd35_medium" (2.2 billion)
            or "tiny" (latents a quarter of the picture's side, 32 or 64 px).
        seed: Of the weights. The global random state is left as it was.
        dtype: Of the weights: "float32", "float16", "bfloat16".
        t5: Whether the third text encoder is written (4.8 billion weights of the true size).
        second_clip: Whether the second is.

    Returns:
        The folder.

    Raises:
        UserError: ``size`` is unknown, or the folder holds files.
    """
    if size not in SD3_SHAPES:
        raise UserError(f"size: '{size}' is unknown; give one of {', '.join(SD3_SHAPES)}")
    shape, dtype = SD3_SHAPES[size], resolve_dtype(dtype, torch.device("cpu"))
    encoders = ("", *(("_2",) if second_clip else ()))
    clip_tokenizer = byte_tokenizer()
    others: dict[str, Any] = {f"tokenizer{suffix}": clip_tokenizer for suffix in encoders}
    others |= {"tokenizer_3": letter_tokenizer()} if t5 else {}
    others["scheduler"] = FlowMatchEulerDiscreteScheduler(shift=shape.shift)
    networks = _builders(shape, clip_tokenizer, encoders, t5)
    return write_random(folder, networks, others, _model_index(second_clip, t5), seed, dtype)


def letter_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer whose tokens are single characters of ASCII."""
    marks = ["<pad>", "</s>", "<unk>"]
    letters = ["\u2581", *(chr(code) for code in range(33, 127))]
    vocab: Any = [(token, 0.0 if token in marks else -1.0) for token in (*marks, *letters)]
    return T5Tokenizer(vocab=vocab, extra_ids=0)


def transformer_from(shape: SD3Shape) -> SD3Transformer2DModel:
    """The shape's velocity predictor, randomly initialized."""
    return SD3Transformer2DModel(in_channels=16, out_channels=16, **shape.transformer)


def sd3_vae_from(shape: SD3Shape) -> AutoencoderKL:
    """The shape's autoencoder, randomly initialized."""
    levels = len(shape.vae["block_out_channels"])
    config: dict[str, Any] = {
        "latent_channels": 16,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        **shape.vae,
    }
    return AutoencoderKL(**config)


def _builders(
    shape: SD3Shape, tokenizer: CLIPTokenizer, encoders: tuple[str, ...], t5: bool
) -> dict[str, Callable[[], Any]]:
    marks: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }

    def clip(config: dict[str, Any]) -> Callable[[], Any]:
        return lambda: CLIPTextModelWithProjection(CLIPTextConfig(**config, **marks))

    builders = {
        "transformer": lambda: transformer_from(shape),
        "vae": lambda: sd3_vae_from(shape),
    }
    for suffix, config in zip(encoders, shape.clips, strict=False):
        builders[f"text_encoder{suffix}"] = clip(config)
    if t5:
        gated = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
        vocab = shape.t5.get("vocab_size", len(letter_tokenizer()))
        config = {**gated, **shape.t5, "vocab_size": vocab}
        builders["text_encoder_3"] = lambda: T5EncoderModel(T5Config(**config))
    return builders


def _model_index(second_clip: bool, t5: bool) -> dict[str, Any]:
    def entry(present: bool, name: str) -> list[str | None]:
        return ["transformers", name] if present else [None, None]

    return {
        "_class_name": "StableDiffusion3Pipeline",
        "_diffusers_version": diffusers_version,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "text_encoder_2": entry(second_clip, "CLIPTextModelWithProjection"),
        "text_encoder_3": entry(t5, "T5EncoderModel"),
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": entry(second_clip, "CLIPTokenizer"),
        "tokenizer_3": entry(t5, "T5Tokenizer"),
        "transformer": ["diffusers", "SD3Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
