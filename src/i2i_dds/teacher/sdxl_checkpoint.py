"""Reads a Stable Diffusion XL checkpoint in diffusers' format."""

from __future__ import annotations

from typing import Any, cast

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from i2i_dds.errors import UserError
from i2i_dds.teacher.families import SDXL
from i2i_dds.teacher.folders import (
    check_lengths,
    check_numbers,
    check_tokens,
    content_of,
    read_checkpoint,
    weights_variant,
    whole_network,
    whole_tokenizer,
)
from i2i_dds.teacher.loading import ATTENTION
from i2i_dds.teacher.schedulers import process_from_scheduler

_SIZES = 6
"""Numbers that the network is told of a picture: its size, its crop, the size that is wanted."""


def load_parts(
    path: str,
    dtype: torch.dtype,
    revision: str | None,
    local_files_only: bool | None,
    variant: str | None = None,
) -> dict[str, Any]:
    """The networks, tokenizers and process of a checkpoint, on the CPU.

    Args:
        path: A folder, or a hub id.
        dtype: The networks' type.
        revision: Of a hub id.
        local_files_only: True never downloads.
        variant: Of the weights' files, such as "fp16"; None is the plain ones, or where a folder
            has none, those that it has.

    Returns:
        ``vae``, ``unet``, ``text_encoder``, ``tokenizer``, ``text_encoder_2``, ``tokenizer_2``,
        ``process`` and ``zero_empty_prompt``.

    Raises:
        UserError: Nothing usable is there.
    """

    def read(source: str, cached: bool) -> dict[str, Any]:
        return _read(source, dtype, revision, variant, cached)

    parts = read_checkpoint(path, SDXL, revision, local_files_only, read, variant)
    check_numbers(path, parts["vae"], parts["tokenizer"], parts["tokenizer_2"])
    check_tokens(path, parts)
    check_lengths(path, parts)
    _check_widths(path, parts)
    return parts


def _read(
    source: str, dtype: torch.dtype, revision: str | None, variant: str | None, cached: bool
) -> dict[str, Any]:
    where: dict[str, Any] = {"revision": revision, "local_files_only": cached}
    files = {**where, "variant": variant or weights_variant(source, "unet")}
    index = content_of(source, **where)
    if index.get("requires_aesthetics_score"):
        raise UserError(
            f"path: '{source}' is the refiner of Stable Diffusion XL, which finishes another "
            "model's pictures; give the base model"
        )
    config = DDIMScheduler.load_config(source, subfolder="scheduler", **where)
    parts: dict[str, Any] = {
        "process": process_from_scheduler(cast("dict[str, Any]", config)),
        "zero_empty_prompt": bool(index.get("force_zeros_for_empty_prompt", True)),
    }
    for suffix, kind in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection)):
        encoder, tokenizer = f"text_encoder{suffix}", f"tokenizer{suffix}"
        parts[tokenizer] = whole_tokenizer(source, tokenizer, **where)
        parts[encoder] = whole_network(
            kind, source, encoder, dtype=dtype, attn_implementation=ATTENTION, **files
        )
    for name, kind in (("vae", AutoencoderKL), ("unet", UNet2DConditionModel)):
        parts[name] = whole_network(kind, source, name, torch_dtype=dtype, **files)
    return parts


def _check_widths(path: str, parts: dict[str, Any]) -> None:
    config, second = parts["unet"].config, parts["text_encoder_2"].config
    text = parts["text_encoder"].config.hidden_size + second.hidden_size
    added = second.projection_dim + _SIZES * (config.addition_time_embed_dim or 0)
    pairs = {
        "channels": (config.in_channels, parts["vae"].config.latent_channels),
        "a text of width": (config.cross_attention_dim, text),
        "added numbers": (config.projection_class_embeddings_input_dim, added),
    }
    for what, (wanted, has) in pairs.items():
        if wanted != has:
            raise UserError(
                f"path: the UNet of '{path}' takes {what} {wanted} and its other parts give {has}; "
                "give a plain text-to-image model whose parts belong together"
            )
