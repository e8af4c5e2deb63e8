"""Reads Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from diffusers import AutoencoderKL, SD3Transformer2DModel
from transformers import CLIPTextModelWithProjection

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.checkpoint import Checkpoint, Parts
from i2i_dds.teacher.sd3_prompts import SD3PromptEncoder

T5_TOKENS = "_t5_tokens"
"""In ``model_index.json``, ours: tokens that stand for T5. Diffusers passes over such a name."""


def read_sd3(checkpoint: Checkpoint, t5: bool = True, t5_tokens: int | None = None) -> Parts:
    """What :class:`StableDiffusion3Teacher` takes, on the CPU.

    Args:
        checkpoint: Where the parts are.
        t5: Whether T5 is read where there is one.
        t5_tokens: Of a prompt; as many zeros where T5 is absent. None is what the folder's
            ``model_index.json`` says, and 256, as diffusers has it, where it says nothing.

    Raises:
        UserError: A part is damaged, or they do not belong together.
        OSError: One is absent.
    """
    index = checkpoint.index
    vae = checkpoint.network(AutoencoderKL, "vae")
    parts: Parts = {
        "transformer": checkpoint.network(SD3Transformer2DModel, "transformer"),
        **checkpoint.clip("", CLIPTextModelWithProjection),
    }
    if checkpoint.has("text_encoder_2"):
        parts |= checkpoint.clip("_2", CLIPTextModelWithProjection)
    if t5 and checkpoint.has("text_encoder_3"):
        parts |= checkpoint.t5("_3")
    checkpoint.checked({**parts, "vae": vae})
    _check_widths(checkpoint.called, {**parts, "vae": vae})
    tokens = index.get(T5_TOKENS, 256) if t5_tokens is None else t5_tokens
    return {
        "vae": vae,
        "transformer": parts["transformer"],
        "prompts": SD3PromptEncoder(**parts, t5_tokens=tokens),
        "process": RectifiedFlow.from_scheduler_config(checkpoint.scheduler()),
    }


def _check_widths(path: str, parts: Parts) -> None:
    config = parts["transformer"].config
    wanted, has = parts["vae"].config.latent_channels, config.in_channels
    if wanted != has:
        raise UserError(
            f"path: the transformer of '{path}' takes {has} channels and its latents have "
            f"{wanted}; give a folder whose parts belong together"
        )
    first, second = (parts.get(f"text_encoder{suffix}") for suffix in ("", "_2"))
    assert first is not None
    pooled = sum(one.config.projection_dim for one in (first, second) if one is not None)
    wrong = pooled > config.pooled_projection_dim or (
        second is not None and pooled != config.pooled_projection_dim
    )
    if wrong:
        raise UserError(
            f"path: the transformer of '{path}' expects pooled text of width "
            f"{config.pooled_projection_dim} and its text encoders give {pooled}; "
            "give a folder whose parts belong together"
        )
