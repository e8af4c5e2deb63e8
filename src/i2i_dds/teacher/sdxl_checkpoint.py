"""Reads Stable Diffusion XL."""

from __future__ import annotations

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModelWithProjection

from i2i_dds.errors import UserError
from i2i_dds.teacher.checkpoint import Checkpoint, Parts
from i2i_dds.teacher.schedulers import process_from_scheduler

_SIZES = 6
"""Numbers that the network is told of a picture: its size, its crop, the size that is wanted."""


def read_sdxl(checkpoint: Checkpoint) -> Parts:
    """What :class:`StableDiffusionXLTeacher` takes, on the CPU.

    Raises:
        UserError: A part is damaged, they do not belong together, or it is the refiner.
        OSError: One is absent.
    """
    index = checkpoint.index
    if index.get("requires_aesthetics_score"):
        raise UserError(
            f"path: '{checkpoint.called}' is the refiner of Stable Diffusion XL, which finishes "
            "another model's pictures; give the base model"
        )
    parts = {
        "process": process_from_scheduler(checkpoint.scheduler()),
        "zero_empty_prompt": bool(index.get("force_zeros_for_empty_prompt", True)),
        **checkpoint.clip(),
        **checkpoint.clip("_2", CLIPTextModelWithProjection),
        "vae": checkpoint.network(AutoencoderKL, "vae"),
        "unet": checkpoint.network(UNet2DConditionModel, "unet"),
    }
    config, second = parts["unet"].config, parts["text_encoder_2"].config
    text = parts["text_encoder"].config.hidden_size + second.hidden_size
    added = second.projection_dim + _SIZES * (config.addition_time_embed_dim or 0)
    checkpoint.checked(parts)
    checkpoint.refuse_misfits(
        "UNet",
        {
            "channels": (config.in_channels, parts["vae"].config.latent_channels),
            "a text of width": (config.cross_attention_dim, text),
            "added numbers": (config.projection_class_embeddings_input_dim, added),
        },
    )
    return parts
