"""Finds and reads a Stable Diffusion checkpoint in diffusers' format."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from huggingface_hub import model_info
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from i2i_dds.diffusion.process import VariancePreserving
from i2i_dds.errors import UserError
from i2i_dds.pocket import directory

POCKET = "pocket"
SUPPORTED = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")
"""Pipelines whose networks are those of text to image, by the names of diffusers."""

_COPY = "copy the folder again, or give one whose weights fit their config.json"
_IGNORED = "position_ids"
"""The ending of a buffer that older files of text encoders hold, and newer code makes itself."""

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
                f"path: '{source}' is not complete ({_first_line(error)}); give a folder "
                "with unet, vae, text_encoder, tokenizer and scheduler, weights as safetensors"
                + (f", of variant {variant!r}" if variant else "")
            ) from error
        parts = _download(source, dtype, revision, variant, bool(local_files_only))
    _check_plain_text_to_image(path, parts)
    return parts


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Within it, transformers draws no bar for the weights that it loads."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _read(
    source: str, dtype: torch.dtype, revision: str | None, variant: str | None, cached: bool
) -> dict[str, Any]:
    where: dict[str, Any] = {"revision": revision, "local_files_only": cached}
    weights = {**where, "use_safetensors": True, "output_loading_info": True}
    weights["variant"] = variant or _variant(Path(source))
    config = DDIMScheduler.load_config(source, subfolder="scheduler", **where)
    tokenizer = CLIPTokenizer.from_pretrained(source, subfolder="tokenizer", **where)
    if len(tokenizer) <= MARKS:  # what transformers makes, without a word, of an absent folder
        raise FileNotFoundError("no tokenizer files found in folder tokenizer")
    return {
        "process": VariancePreserving.from_scheduler_config(cast("dict[str, Any]", config)),
        "tokenizer": tokenizer,
        "text_encoder": _whole(
            CLIPTextModel,
            source,
            "text_encoder",
            dtype=dtype,
            ignore_mismatched_sizes=True,  # else its error names no tensor
            **weights,
        ),
        "vae": _whole(AutoencoderKL, source, "vae", torch_dtype=dtype, **weights),
        "unet": _whole(UNet2DConditionModel, source, "unet", torch_dtype=dtype, **weights),
    }


def _variant(folder: Path) -> str | None:
    """What stands before ``.safetensors`` where a folder has such weights alone, as "fp16"."""
    files = [path.name for path in (folder / "unet").glob("diffusion_pytorch_model*.safetensors")]
    plain = [name for name in files if re.match(r"\w+(-\d+-of-\d+)?\.safetensors$", name)]
    return None if plain or not files else min(name.split(".")[1] for name in files)


def _whole(kind: Any, source: str, part: str, **options: Any) -> Any:
    """A network whose every weight is accounted for.

    The libraries fill up what a file lacks with random numbers, or leave it without any.

    Raises:
        UserError: The file lacks a tensor, has one too many, or one of another shape.
    """
    try:
        with quiet_loading():
            network, info = kind.from_pretrained(source, subfolder=part, **options)
    except ValueError as error:
        if "expected shape" not in str(error):
            raise
        raise UserError(f"path: {part} of '{source}': {_first_line(error)}; {_COPY}") from error
    mismatched = [name if isinstance(name, str) else name[0] for name in info["mismatched_keys"]]
    for names, has in (
        (info["missing_keys"], "lacks"),
        (info["unexpected_keys"], "has, unlike its config.json,"),
        (mismatched, "has in another shape"),
    ):
        wrong = sorted(name for name in names if not name.endswith(_IGNORED))
        if wrong:
            count = f"{len(wrong)} tensors, such as {wrong[0]}"
            raise UserError(f"path: {part} of '{source}' {has} {count}; {_COPY}")
    return network


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
        except Exception as error:  # whichever the client library of the day raises
            reason = _first_line(error)
    raise UserError(
        f"path: '{source}' is not on this machine and could not be downloaded ({reason}); "
        f"where there is a network run `hf download {source} --local-dir DIR`, copy DIR here and "
        "give that, or pocket"
    )


def _locate(path: str) -> str:
    """The folder or hub id that ``path`` stands for; a folder is looked into first."""
    folder = directory() / "teacher" if path == POCKET else Path(path).expanduser()
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
    try:
        kind = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except ValueError:
        raise UserError(f"path: '{index}' is not JSON; copy the folder again") from None
    if kind not in SUPPORTED:
        raise UserError(f"path: '{path}' is a {kind}; give a {SUPPORTED[0]}")
    return str(folder)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
