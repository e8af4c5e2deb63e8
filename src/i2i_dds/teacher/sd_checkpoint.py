"""Reads Stable Diffusion 1 and 2."""

from __future__ import annotations

from diffusers import AutoencoderKL, UNet2DConditionModel

from i2i_dds.errors import UserError
from i2i_dds.teacher.checkpoint import Checkpoint, Parts
from i2i_dds.teacher.schedulers import process_from_scheduler


def read_sd(checkpoint: Checkpoint) -> Parts:
    """What :class:`StableDiffusionTeacher` takes, on the CPU.

    Raises:
        UserError: A part is damaged, or they do not belong together.
        OSError: One is absent.
    """
    parts = {
        "process": process_from_scheduler(checkpoint.scheduler()),
        **checkpoint.clip(),
        "vae": checkpoint.network(AutoencoderKL, "vae"),
        "unet": checkpoint.network(UNet2DConditionModel, "unet"),
    }
    _check_plain_text_to_image(checkpoint.called, parts)
    return checkpoint.checked(parts, clip_lengths=False)


def _check_plain_text_to_image(path: str, parts: Parts) -> None:
    wanted, has = parts["vae"].config.latent_channels, parts["unet"].config.in_channels
    if wanted != has:
        raise UserError(
            f"path: the UNet of '{path}' takes {has} channels and its latents have "
            f"{wanted}; give a plain text-to-image model, not one for inpainting or instructions"
        )
    width, text = parts["unet"].config.cross_attention_dim, parts["text_encoder"].config.hidden_size
    if width != text:
        raise UserError(
            f"path: the UNet of '{path}' expects text of width {width} and its text "
            f"encoder gives {text}; give a folder whose parts belong together"
        )
