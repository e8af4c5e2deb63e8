"""Reads a FLUX.1 checkpoint in diffusers' format."""

from __future__ import annotations

from typing import Any, cast

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from transformers import CLIPTextModel

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.families import FLUX
from i2i_dds.teacher.folders import (
    check_lengths,
    check_numbers,
    check_tokens,
    read_checkpoint,
    weights_variant,
    whole_network,
    whole_t5,
    whole_tokenizer,
)
from i2i_dds.teacher.loading import ATTENTION, COPY_AGAIN

PATCH = 2
"""Cells along the side of a token."""


def load_parts(
    path: str,
    dtype: torch.dtype,
    revision: str | None,
    local_files_only: bool | None,
    variant: str | None = None,
    distilled_guidance: float = 3.5,
) -> dict[str, Any]:
    """The networks, tokenizers and process of a checkpoint, on the CPU.

    Args:
        path: A folder, or a hub id.
        dtype: The networks' type.
        revision: Of a hub id.
        local_files_only: True never downloads.
        variant: Of the weights' files; None is the plain ones, or where a folder has none, those
            that it has.
        distilled_guidance: What dev is told; handed on.

    Returns:
        What :class:`FluxTeacher` takes.

    Raises:
        UserError: Nothing usable is there.
    """

    def read(source: str, cached: bool) -> dict[str, Any]:
        where: dict[str, Any] = {"revision": revision, "local_files_only": cached}
        return _read(source, dtype, where, variant)

    parts = read_checkpoint(path, FLUX, revision, local_files_only, read, variant)
    check_numbers(path, parts["vae"], parts["tokenizer"])
    check_tokens(path, parts)
    check_lengths(path, {name: parts[name] for name in ("tokenizer", "text_encoder")})
    _check_widths(path, parts)
    return {**parts, "distilled_guidance": distilled_guidance}


def flux_cells(vae: Any) -> int:
    """Side of the latents of a picture of the size that the model was made for.

    Raises:
        UserError: The config does not say.
    """
    size = vae.config.sample_size
    if not isinstance(size, int) or size < 1:
        raise UserError(f"path: the VAE's sample_size is {size!r:.60}; {COPY_AGAIN}")
    return size // 2 ** (len(vae.config.block_out_channels) - 1)


def _read(
    source: str, dtype: torch.dtype, where: dict[str, Any], variant: str | None
) -> dict[str, Any]:
    files = {**where, "variant": variant or weights_variant(source, "transformer")}
    config = FlowMatchEulerDiscreteScheduler.load_config(source, subfolder="scheduler", **where)
    networks = {"vae": AutoencoderKL, "transformer": FluxTransformer2DModel}
    parts: dict[str, Any] = {
        name: whole_network(kind, source, name, torch_dtype=dtype, **files)
        for name, kind in networks.items()
    }
    parts["process"] = RectifiedFlow.from_scheduler_config(
        cast("dict[str, Any]", config), tokens=(flux_cells(parts["vae"]) // PATCH) ** 2
    )
    parts["tokenizer"] = whole_tokenizer(source, "tokenizer", **where)
    parts |= whole_t5(source, "_2", dtype, where, {"variant": files["variant"]})
    parts["text_encoder"] = whole_network(
        CLIPTextModel, source, "text_encoder", dtype=dtype, attn_implementation=ATTENTION, **files
    )
    return parts


def _check_widths(path: str, parts: dict[str, Any]) -> None:
    config = parts["transformer"].config
    pairs = {
        "channels": (config.in_channels, parts["vae"].config.latent_channels * PATCH**2),
        "a text of width": (config.joint_attention_dim, parts["text_encoder_2"].config.d_model),
        "a pooled text of width": (
            config.pooled_projection_dim,
            parts["text_encoder"].config.hidden_size,
        ),
    }
    for what, (wanted, has) in pairs.items():
        if wanted != has:
            raise UserError(
                f"path: the transformer of '{path}' takes {what} {wanted} and its other parts "
                f"give {has}; give a plain text-to-image model whose parts belong together"
            )
