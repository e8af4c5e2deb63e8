"""Writes Stable Diffusion 1 and 2 checkpoints of the true shape with random weights, offline.

They say nothing sensible, but load, run and cost exactly what the real ones do: for measuring
time and memory, and, at size "tiny", for fast tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers import __version__ as diffusers_version
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from i2i_dds.errors import UserError
from i2i_dds.runs import run_folder, write_json
from i2i_dds.teacher.loading import quiet_loading
from i2i_dds.teacher.placement import resolve_dtype

DOWN = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
UP = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3


@dataclass(frozen=True)
class Shape:
    """What the three networks are built from, as their diffusers and transformers configs.

    Attributes:
        unet: For UNet2DConditionModel.
        vae: For AutoencoderKL.
        text: For CLIPTextConfig.
        prediction_type: What the real model of this shape predicts.
    """

    unet: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    prediction_type: str


_VAE = {
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
_UNET = {
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": DOWN,
    "up_block_types": UP,
    "layers_per_block": 2,
}
SHAPES = {
    "sd15": Shape(
        unet={**_UNET, "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
        vae=_VAE,
        text={
            "vocab_size": 49408,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "projection_dim": 768,
            "hidden_act": "quick_gelu",
        },
        prediction_type="epsilon",
    ),
    "sd21": Shape(
        unet={
            **_UNET,
            "sample_size": 96,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
            "upcast_attention": True,
        },
        vae=_VAE,
        text={
            "vocab_size": 49408,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,
            "num_attention_heads": 16,
            "projection_dim": 512,
            "hidden_act": "gelu",
        },
        prediction_type="v_prediction",
    ),
    "tiny": Shape(
        unet={
            "sample_size": 8,
            "block_out_channels": (16, 32),
            "down_block_types": DOWN[-2:],
            "up_block_types": UP[:2],
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "cross_attention_dim": 16,
            "attention_head_dim": 2,
        },
        vae={
            "sample_size": 32,
            "block_out_channels": (8, 8, 16),
            "down_block_types": ("DownEncoderBlock2D",) * 3,
            "up_block_types": ("UpDecoderBlock2D",) * 3,
            "layers_per_block": 1,
            "norm_num_groups": 4,
        },
        text={
            "vocab_size": 514,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "projection_dim": 16,
            "hidden_act": "quick_gelu",
        },
        prediction_type="epsilon",
    ),
}


def build_random_stable_diffusion(
    folder: str | Path,
    size: str = "sd15",
    prediction_type: str | None = None,
    seed: int = 0,
    dtype: str | torch.dtype = "float32",
) -> Path:
    """Writes a Stable Diffusion folder in diffusers' format, aside first and then renamed.

    Args:
        folder: Where to; must not exist, or be empty.
        size: "sd15" (1.07 billion weights), "sd21" (1.29 billion) or "tiny" (0.26 million;
            latents a quarter of the picture's side, 32 or 64 px).
        prediction_type: "epsilon" or "v_prediction"; None is what the real model has.
        seed: Of the weights. The global random state is left as it was.
        dtype: Of the weights: "float32", "float16", "bfloat16".

    Returns:
        The folder.

    Raises:
        UserError: ``size`` is unknown, or the folder holds files.
    """
    if size not in SHAPES:
        raise UserError(f"size: '{size}' is unknown; give one of {', '.join(SHAPES)}")
    shape = SHAPES[size]
    dtype = resolve_dtype(dtype, torch.device("cpu"))
    tokenizer = byte_tokenizer()
    scheduler = sd_scheduler(prediction_type or shape.prediction_type)
    others = {"tokenizer": tokenizer, "scheduler": scheduler}
    return write_random(folder, _builders(shape, tokenizer), others, _model_index(), seed, dtype)


def write_random(
    folder: str | Path,
    networks: Mapping[str, Callable[[], Any]],
    others: Mapping[str, Any],
    index: Mapping[str, Any],
    seed: int,
    dtype: torch.dtype,
) -> Path:
    """Writes a checkpoint in diffusers' format, aside first and then renamed.

    Args:
        folder: Where to; must not exist, or be empty.
        networks: Folder of each network -> what makes it, with random weights.
        others: Folder of each tokenizer and of the scheduler -> itself.
        index: Of ``model_index.json``.
        seed: Of the weights. The global random state is left as it was.
        dtype: Of the weights.

    Returns:
        The folder.

    Raises:
        UserError: The folder holds files.
    """
    with run_folder(folder) as partial, torch.random.fork_rng(devices=[]), quiet_loading():
        torch.manual_seed(seed)
        # One network at a time: the largest alone decides the memory needed.
        for part, network in networks.items():
            built = network() if dtype == torch.float32 else network().to(dtype)
            built.save_pretrained(partial / part)
        for part, one in others.items():
            one.save_pretrained(partial / part)
        write_json(partial / "model_index.json", dict(index))
    return Path(folder)


def clip_config(width: int, layers: int, heads: int, vocab: int, act: str) -> dict[str, Any]:
    """Arguments of CLIPTextConfig whose other widths follow from one."""
    return {
        "vocab_size": vocab,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "projection_dim": width,
        "hidden_act": act,
    }


def byte_tokenizer(length: int = 77) -> CLIPTokenizer:
    """A CLIP tokenizer whose tokens are single bytes, inside a word or (``</w>``) at its end.

    Args:
        length: Tokens of a padded prompt, both marks included.
    """
    letters = sorted(ByteLevel.alphabet())
    tokens = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=length)


def sd_scheduler(prediction_type: str) -> DDIMScheduler:
    """Stable Diffusion's DDIM scheduler, to be saved beside the networks."""
    if prediction_type not in ("epsilon", "v_prediction"):
        raise UserError(
            f"prediction_type: '{prediction_type}' is unknown; give epsilon or v_prediction"
        )
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def unet_from(shape: Shape) -> UNet2DConditionModel:
    """The shape's noise predictor, randomly initialized."""
    return UNet2DConditionModel(in_channels=4, out_channels=4, **shape.unet)


def vae_from(shape: Shape) -> AutoencoderKL:
    """The shape's autoencoder, randomly initialized."""
    return AutoencoderKL(latent_channels=4, scaling_factor=0.18215, **shape.vae)


def text_encoder_from(shape: Shape, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The shape's text encoder, randomly initialized."""
    marks: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return CLIPTextModel(CLIPTextConfig(**shape.text, **marks))


def _builders(shape: Shape, tokenizer: CLIPTokenizer) -> dict[str, Any]:
    return {
        "vae": lambda: vae_from(shape),
        "text_encoder": lambda: text_encoder_from(shape, tokenizer),
        "unet": lambda: unet_from(shape),
    }


def _model_index() -> dict[str, Any]:
    return {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers_version,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
