"""Finds and reads a Stable Diffusion checkpoint in diffusers' format."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from huggingface_hub import model_info
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer

from i2i_dds.errors import UserError
from i2i_dds.pocket import directory
from i2i_dds.reading import expanded, read_object
from i2i_dds.teacher.loading import COPY_AGAIN, first_line, load_whole, refusing_damage
from i2i_dds.teacher.schedulers import process_from_scheduler

POCKET = "pocket"
SUPPORTED = (
    *("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    *("StableDiffusionInpaintPipeline", "StableDiffusionControlNetPipeline"),
    *("StableDiffusionPAGPipeline", "StableDiffusionSAGPipeline", "StableDiffusionPipelineSafe"),
    *("StableDiffusionDiffEditPipeline", "StableDiffusionPanoramaPipeline"),
    *("StableDiffusionAttendAndExcitePipeline", "CycleDiffusionPipeline"),
)
"""Pipelines that may hold the networks of text to image, by the names of diffusers."""

ATTENTION = "sdpa"
"""Given, for a config may name a repository of kernels, which would be downloaded and run."""

_CONFIGS = {
    "scheduler": "scheduler_config.json",
    **dict.fromkeys(("text_encoder", "vae", "unet"), "config.json"),
}

MARKS = 3
"""Tokens of an empty CLIP tokenizer: start, end, padding."""


def load_parts(
    path: str,
    dtype: torch.dtype,
    revision: str | None,
    local_files_only: bool | None,
    variant: str | None = None,
) -> dict[str, Any]:
    """The networks, tokenizer and process of a checkpoint, on the CPU.

    A hub id is looked up in the local cache first, so that a model once downloaded loads
    without a network.

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
    source = _locate(path)
    if revision is not None and Path(source).is_dir():
        raise UserError(
            f"revision: {revision!r} goes with a hub id, and '{path}' is a folder; leave it out"
        )
    try:
        parts = _read(source, dtype, revision, variant, cached=True)
    except (OSError, SafetensorError) as error:
        if Path(source).is_dir():
            raise UserError(
                f"path: '{source}' is not complete ({first_line(error)}); give a folder "
                "with unet, vae, text_encoder, tokenizer and scheduler, weights as safetensors"
                + (f", of variant {variant!r}" if variant else "")
            ) from error
        parts = _download(source, dtype, revision, variant, bool(local_files_only))
    _check_numbers(path, parts)
    _check_plain_text_to_image(path, parts)
    return parts


def _read(
    source: str, dtype: torch.dtype, revision: str | None, variant: str | None, cached: bool
) -> dict[str, Any]:
    where: dict[str, Any] = {"revision": revision, "local_files_only": cached}
    weights = {**where, "variant": variant or _variant(Path(source))}
    _check_configs(Path(source))
    config = DDIMScheduler.load_config(source, subfolder="scheduler", **where)
    with refusing_damage(f"path: tokenizer of '{source}'"):
        tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", **where)
    if len(tokenizer) <= MARKS:  # what transformers makes, without a word, of an absent folder
        raise FileNotFoundError("no tokenizer files found in folder tokenizer")
    return {
        "process": process_from_scheduler(cast("dict[str, Any]", config)),
        "tokenizer": tokenizer,
        "text_encoder": _network(
            CLIPTextModel,
            source,
            "text_encoder",
            dtype=dtype,
            attn_implementation=ATTENTION,
            **weights,
        ),
        "vae": _network(AutoencoderKL, source, "vae", torch_dtype=dtype, **weights),
        "unet": _network(UNet2DConditionModel, source, "unet", torch_dtype=dtype, **weights),
    }


def _variant(folder: Path) -> str | None:
    """What stands before ``.safetensors`` where a folder has such weights alone, as "fp16"."""
    files = [path.name for path in (folder / "unet").glob("diffusion_pytorch_model*.safetensors")]
    plain = [name for name in files if re.match(r"\w+(-\d+-of-\d+)?\.safetensors$", name)]
    return None if plain or not files else min(name.split(".")[1] for name in files)


def _network(kind: Any, source: str, part: str, **options: Any) -> Any:
    return load_whole(kind, source, f"path: {part} of '{source}'", subfolder=part, **options)


def _download(
    source: str,
    dtype: torch.dtype,
    revision: str | None,
    variant: str | None,
    forbidden: bool,
) -> dict[str, Any]:
    reason = "local_files_only is set"
    if not forbidden:
        try:
            # Asked once and briefly: from_pretrained tries each file six times when offline.
            model_info(source, revision=revision, timeout=10)
            return _read(source, dtype, revision, variant, cached=False)
        except UserError:
            raise
        except Exception as error:  # whichever the client library of the day raises
            reason = first_line(error)
    raise UserError(
        f"path: '{source}' is not on this machine and could not be downloaded ({reason}); "
        f"where there is a network run `hf download {source} --local-dir DIR`, copy DIR here and "
        "give that, or pocket"
    )


def _locate(path: str) -> str:
    """The folder or hub id that ``path`` stands for; a folder is looked into first."""
    folder = directory() / "teacher" if path == POCKET else expanded(path)
    index = folder / "model_index.json"
    looks_local = path == POCKET or folder.exists() or path.startswith((".", "/", "~", os.sep))
    if not looks_local and path.count("/") == 1:
        return path
    if not index.is_file():
        raise UserError(
            f"path: '{folder if path == POCKET else path}' holds no model_index.json; "
            "give a diffusers Stable Diffusion folder, a hub id such as "
            "stable-diffusion-v1-5/stable-diffusion-v1-5, or pocket"
        )
    kind = read_object(index, "path", "a whole folder").get("_class_name")
    if kind not in SUPPORTED:
        raise UserError(f"path: '{path}' is a {kind!s:.60}; give a {SUPPORTED[0]}")
    return str(folder)


def _check_configs(folder: Path) -> None:
    """Refuses a config of a folder that is no JSON object, which the libraries tell badly."""
    for part, name in _CONFIGS.items():
        file = folder / part / name
        if file.exists():
            read_object(file, "path", "a whole folder")


def _check_numbers(path: str, parts: dict[str, Any]) -> None:
    """Refuses numbers of the configs that no weight depends on."""
    for name, least in (("scaling_factor", 0.0), ("shift_factor", -math.inf)):
        value = getattr(parts["vae"].config, name, None)
        if value is None and name == "shift_factor":
            continue
        if not isinstance(value, int | float) or not least < value < math.inf:
            raise UserError(f"path: the VAE of '{path}' has {name} {value!r:.60}; {COPY_AGAIN}")
    longest = parts["tokenizer"].model_max_length
    if not isinstance(longest, int) or longest < MARKS:
        raise UserError(
            f"path: the tokenizer of '{path}' has model_max_length {longest!r:.60}; {COPY_AGAIN}"
        )


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
    tokens, known = len(parts["tokenizer"]), parts["text_encoder"].config.vocab_size
    if tokens > known:
        raise UserError(
            f"path: the tokenizer of '{path}' has {tokens} tokens and its text encoder "
            f"{known}; give a folder whose parts belong together"
        )
