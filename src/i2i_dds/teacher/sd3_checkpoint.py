"""Reads a Stable Diffusion 3 checkpoint in diffusers' format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from transformers import CLIPTextModelWithProjection

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.families import SD3
from i2i_dds.teacher.folders import (
    check_lengths,
    check_numbers,
    check_tokens,
    content_of,
    read_checkpoint,
    weights_variant,
    whole_network,
    whole_t5,
    whole_tokenizer,
)
from i2i_dds.teacher.loading import ATTENTION
from i2i_dds.teacher.sd3_prompts import SD3PromptEncoder

T5_TOKENS = "_t5_tokens"
"""In ``model_index.json``, ours: tokens that stand for T5. Diffusers passes over such a name."""


def load_parts(
    path: str,
    dtype: torch.dtype,
    revision: str | None,
    local_files_only: bool | None,
    variant: str | None = None,
    t5: bool = True,
    t5_tokens: int | None = None,
) -> dict[str, Any]:
    """The networks, tokenizers and process of a checkpoint, on the CPU.

    Args:
        path: "pocket_flow", a folder, or a hub id.
        dtype: The networks' type.
        revision: Of a hub id.
        local_files_only: True never downloads.
        variant: Of the weights' files, such as "fp16"; None is the plain ones, or where a folder
            has none, those that it has.
        t5: Whether T5 is read where there is one.
        t5_tokens: Of a prompt; as many zeros where T5 is absent. None is what the folder's
            ``model_index.json`` says, and 256, as diffusers has it, where it says nothing.

    Returns:
        ``vae``, ``transformer``, ``prompts`` and ``process``.

    Raises:
        UserError: Nothing usable is there.
    """

    def read(source: str, cached: bool) -> dict[str, Any]:
        files = {"variant": variant or weights_variant(source, "transformer")}
        where = {"revision": revision, "local_files_only": cached}
        index = content_of(source, **where)
        parts = _networks(source, dtype, where, files)
        for suffix, present in (("", True), ("_2", _has(index, "text_encoder_2"))):
            parts |= _clip(source, suffix, dtype, where, files) if present else {}
        if t5 and _has(index, "text_encoder_3"):
            parts |= whole_t5(source, "_3", dtype, where, files)
        parts["t5_tokens"] = index.get(T5_TOKENS, 256) if t5_tokens is None else t5_tokens
        return parts

    parts = read_checkpoint(path, SD3, revision, local_files_only, read, variant)
    tokenizers = [parts[f"tokenizer{n}"] for n in ("", "_2", "_3") if f"tokenizer{n}" in parts]
    check_numbers(path, parts["vae"], *tokenizers)
    check_tokens(path, parts)
    check_lengths(path, parts)
    _check_widths(path, parts)
    vae, process = parts.pop("vae"), parts.pop("process")
    prompts = SD3PromptEncoder(**parts)
    return {"vae": vae, "transformer": parts["transformer"], "prompts": prompts, "process": process}


def _has(index: Mapping[str, Any], part: str) -> bool:
    """Whether the index names a class for it: ``[null, null]`` stands for none."""
    names = index.get(part)
    return isinstance(names, list) and bool(names) and bool(names[0])


def _networks(
    source: str, dtype: torch.dtype, where: dict[str, Any], files: dict[str, Any]
) -> dict[str, Any]:
    config = FlowMatchEulerDiscreteScheduler.load_config(source, subfolder="scheduler", **where)
    weights = {**where, **files, "torch_dtype": dtype}
    return {
        "process": RectifiedFlow.from_scheduler_config(cast("dict[str, Any]", config)),
        "vae": whole_network(AutoencoderKL, source, "vae", **weights),
        "transformer": whole_network(SD3Transformer2DModel, source, "transformer", **weights),
    }


def _clip(
    source: str, suffix: str, dtype: torch.dtype, where: dict[str, Any], files: dict[str, Any]
) -> dict[str, Any]:
    tokenizer, encoder = f"tokenizer{suffix}", f"text_encoder{suffix}"
    return {
        tokenizer: whole_tokenizer(source, tokenizer, **where),
        encoder: whole_network(
            CLIPTextModelWithProjection,
            source,
            encoder,
            dtype=dtype,
            attn_implementation=ATTENTION,
            **where,
            **files,
        ),
    }


def _check_widths(path: str, parts: dict[str, Any]) -> None:
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
