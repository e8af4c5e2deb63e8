"""Reads a Stable Diffusion checkpoint in diffusers' format."""

from __future__ import annotations

from typing import Any, cast

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

from i2i_dds.errors import UserError
from i2i_dds.teacher.families import SD
from i2i_dds.teacher.folders import (
    check_numbers,
    check_tokens,
    read_checkpoint,
    weights_variant,
    whole_network,
    whole_tokenizer,
)
from i2i_dds.teacher.loading import ATTENTION
from i2i_dds.teacher.schedulers import process_from_scheduler


def load_parts(
    path: str,
    dtype: torch.dtype,
    revision: str | None,
    local_files_only: bool | None,
    variant: str | None = None,
) -> dict[str, Any]:
    """The networks, tokenizer and process of a checkpoint, on the CPU.

    Args:
        path: "pocket", a folder, or a hub id.
        dtype: The networks' type.
        revision: Of a hub id.
        local_files_only: True never downloads.
        variant: Of the weights' files, such as "fp16"; None is the plain ones, or where a folder
            has none, those that it has.

    Returns:
        ``vae``, ``text_encoder``, ``tokenizer``, ``unet`` and ``process``.

    Raises:
        UserError: Nothing usable is there.
    """

    def read(source: str, cached: bool) -> dict[str, Any]:
        return _read(source, dtype, revision, variant, cached)

    parts = read_checkpoint(path, SD, revision, local_files_only, read, variant)
    check_numbers(path, parts["vae"], parts["tokenizer"])
    _check_plain_text_to_image(path, parts)
    return parts


def _read(
    source: str, dtype: torch.dtype, revision: str | None, variant: str | None, cached: bool
) -> dict[str, Any]:
    where: dict[str, Any] = {"revision": revision, "local_files_only": cached}
    weights = {**where, "variant": variant or weights_variant(source, "unet")}
    config = DDIMScheduler.load_config(source, subfolder="scheduler", **where)
    return {
        "process": process_from_scheduler(cast("dict[str, Any]", config)),
        "tokenizer": whole_tokenizer(source, "tokenizer", **where),
        "text_encoder": whole_network(
            CLIPTextModel,
            source,
            "text_encoder",
            dtype=dtype,
            attn_implementation=ATTENTION,
            **weights,
        ),
        "vae": whole_network(AutoencoderKL, source, "vae", torch_dtype=dtype, **weights),
        "unet": whole_network(UNet2DConditionModel, source, "unet", torch_dtype=dtype, **weights),
    }


def _check_plain_text_to_image(path: str, parts: dict[str, Any]) -> None:
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
    check_tokens(path, parts)
