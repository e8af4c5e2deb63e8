"""Finds checkpoints in diffusers' format; reads networks with every weight accounted for."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download, model_info
from safetensors import SafetensorError
from transformers import AutoTokenizer, CLIPTokenizer, T5EncoderModel

from i2i_dds.errors import UserError
from i2i_dds.pocket import directory
from i2i_dds.reading import expanded, read_object
from i2i_dds.teacher.families import INDEX, POCKETS, Family, check_family, pipeline_in, read_index
from i2i_dds.teacher.loading import (
    ATTENTION,
    COPY_AGAIN,
    MARKS,
    TOKENIZER_CONFIG,
    check_config,
    first_line,
    highest_token,
    load_whole,
    refusing_damage,
)

Parts = dict[str, Any]
Read = Callable[[str, bool], Parts]


def read_checkpoint(
    path: str,
    family: Family,
    revision: str | None,
    local_files_only: bool | None,
    read: Read,
    variant: str | None = None,
) -> Parts:
    """What ``read`` finds of a checkpoint.

    A hub id is looked up in the local cache first, so that a model once downloaded loads
    without a network.

    Args:
        path: A name of ``POCKETS``, a folder, or a hub id.
        family: Which it must be of.
        revision: Of a hub id.
        local_files_only: True never downloads.
        read: Called with the folder or hub id and whether only the local cache may be read.
        variant: Of the weights' files, for the error.

    Raises:
        UserError: Nothing usable is there, or another family.
    """
    source = locate(path)
    if revision is not None and Path(source).is_dir():
        raise UserError(
            f"revision: {revision!r} goes with a hub id, and '{path}' is a folder; leave it out"
        )
    index = index_of(source, revision, local_files_only=True)
    if index is not None:
        check_family(pipeline_in(index), path, family)
    _check_configs(Path(source))
    try:
        return read(source, True)
    except (OSError, SafetensorError) as error:
        if Path(source).is_dir():
            raise UserError(
                f"path: '{source}' is not complete ({first_line(error)}); give a folder "
                "that has all parts its model_index.json names, weights as safetensors"
                + (f", of variant {variant!r}" if variant else "")
            ) from error
        return _download(source, revision, bool(local_files_only), read)


def locate(path: str) -> str:
    """The folder or hub id that ``path`` stands for; a folder is looked into first.

    Raises:
        UserError: No such folder, or one without a ``model_index.json``.
    """
    pocket = path in POCKETS
    folder = directory() / POCKETS[path] if pocket else expanded(path)
    looks_local = pocket or folder.exists() or path.startswith((".", "/", "~", os.sep))
    if not looks_local and path.count("/") == 1:
        return path
    if path == "pocket_flow" and not folder.is_dir():
        raise UserError(
            f"path: the weights of pocket_flow are not in '{folder}', for they do not ship yet; "
            f"make them by `i2i pretrain pocket=flow stage=all out={folder.parent}`, or give pocket"
        )
    if not (folder / INDEX).is_file():
        raise UserError(
            f"path: '{folder if pocket else path}' holds no {INDEX}; "
            "give a diffusers folder, a hub id such as "
            "stable-diffusion-v1-5/stable-diffusion-v1-5, or pocket"
        )
    return str(folder)


def index_of(source: str, revision: str | None, local_files_only: bool) -> Path | None:
    """The ``model_index.json`` of a folder or hub id; None where it is not to be had."""
    index = Path(source) / INDEX
    if index.is_file():
        return index
    try:
        return Path(
            hf_hub_download(source, INDEX, revision=revision, local_files_only=local_files_only)
        )
    except Exception:  # whichever the client library of the day raises
        return None


def content_of(source: str, revision: str | None, local_files_only: bool) -> dict[str, Any]:
    """What a checkpoint's ``model_index.json`` says.

    Raises:
        FileNotFoundError: There is none.
    """
    index = index_of(source, revision, local_files_only)
    if index is None:
        raise FileNotFoundError(f"no {INDEX}")
    return read_index(index)


def weights_variant(source: str, network: str) -> str | None:
    """What stands before ``.safetensors`` where a folder has such weights alone, as "fp16"."""
    folder = Path(source) / network
    files = [path.name for path in folder.glob("diffusion_pytorch_model*.safetensors")]
    plain = [name for name in files if re.match(r"\w+(-\d+-of-\d+)?\.safetensors$", name)]
    return None if plain or not files else min(name.split(".")[1] for name in files)


def whole_tokenizer(source: str, part: str, **where: Any) -> CLIPTokenizer:
    """A CLIP tokenizer.

    Raises:
        UserError: Its files are damaged.
        FileNotFoundError: It has no words, which is what transformers makes of an absent folder.
    """
    called = f"path: {part} of '{source}'"
    check_config(source, called, name=TOKENIZER_CONFIG, subfolder=part, **where)
    with refusing_damage(called):
        tokenizer = CLIPTokenizer.from_pretrained(source, subfolder=part, **where)
    if len(tokenizer) <= MARKS:
        raise FileNotFoundError(f"no tokenizer files found in folder {part}")
    return tokenizer


def whole_network(kind: Any, source: str, part: str, **options: Any) -> Any:
    """The network in the folder ``part`` of a checkpoint, see :func:`load_whole`."""
    return load_whole(kind, source, f"path: {part} of '{source}'", subfolder=part, **options)


def whole_t5(
    source: str, suffix: str, dtype: torch.dtype, where: dict[str, Any], files: dict[str, Any]
) -> Parts:
    """A T5's tokenizer and encoder, in the folders that end with ``suffix``.

    Raises:
        UserError: Its files are damaged.
        FileNotFoundError: A folder has no tokenizer, which transformers tells as damage.
    """
    part, encoder = f"tokenizer{suffix}", f"text_encoder{suffix}"
    if Path(source).is_dir() and not (Path(source) / part).is_dir():
        raise FileNotFoundError(f"no tokenizer files found in folder {part}")
    called = f"path: {part} of '{source}'"
    check_config(source, called, name=TOKENIZER_CONFIG, subfolder=part, **where)
    with refusing_damage(called):
        tokenizer = AutoTokenizer.from_pretrained(
            source, subfolder=part, trust_remote_code=False, **where
        )
    options = {"dtype": dtype, "attn_implementation": ATTENTION, **where, **files}
    network = whole_network(T5EncoderModel, source, encoder, **options)
    _check_distances(f"path: {encoder} of '{source}'", network.config)
    return {part: tokenizer, encoder: network}


def _check_distances(called: str, config: Any) -> None:
    """Refuses buckets of distances between words that no weight depends on, and no T5 has."""
    buckets = config.relative_attention_num_buckets
    farthest = config.relative_attention_max_distance
    if not isinstance(farthest, int) or buckets < 4 or farthest <= buckets // 4:
        raise UserError(
            f"{called} has relative_attention_max_distance {farthest!r:.60} for {buckets} "
            f"buckets; {COPY_AGAIN}"
        )


def check_numbers(path: str, vae: Any, *tokenizers: Any) -> None:
    """Refuses numbers of the configs that no weight depends on.

    Raises:
        UserError: One is no number, or out of its range.
    """
    for name, least in (("scaling_factor", 0.0), ("shift_factor", -math.inf)):
        value = getattr(vae.config, name, None)
        if value is None and name == "shift_factor":
            continue
        if not isinstance(value, int | float) or not least < value < math.inf:
            raise UserError(f"path: the VAE of '{path}' has {name} {value!r:.60}; {COPY_AGAIN}")
    for tokenizer in tokenizers:
        longest = tokenizer.model_max_length
        if not isinstance(longest, int) or longest < MARKS:
            raise UserError(
                f"path: the tokenizer of '{path}' has model_max_length {longest!r:.60}; "
                f"{COPY_AGAIN}"
            )


def check_tokens(path: str, parts: Parts) -> None:
    """Refuses a tokenizer that does not go with its text encoder.

    Args:
        path: Of the checkpoint.
        parts: ``tokenizer``, ``text_encoder``, and the second and third of both, if it has them.

    Raises:
        UserError: It has tokens that the encoder does not know, or none that fills up a text.
    """
    for suffix in ("", "_2", "_3"):
        tokenizer = parts.get(f"tokenizer{suffix}")
        if tokenizer is None:
            continue
        tokens, known = (
            highest_token(tokenizer) + 1,
            parts[f"text_encoder{suffix}"].config.vocab_size,
        )
        if tokens > known:
            raise UserError(
                f"path: the tokenizer of '{path}' has {tokens} tokens and its text encoder "
                f"{known}; give a folder whose parts belong together"
            )
        if tokenizer.pad_token is None:
            raise UserError(f"path: the tokenizer of '{path}' has no pad_token; {COPY_AGAIN}")


def check_lengths(path: str, parts: Parts) -> None:
    """Refuses a tokenizer of CLIP that fills texts up to more tokens than its encoder has places.

    Diffusers pads to what the tokenizer says, whatever that is.

    Raises:
        UserError: One does.
    """
    for suffix in ("", "_2"):
        if f"tokenizer{suffix}" not in parts:
            continue
        longest = parts[f"tokenizer{suffix}"].model_max_length
        places = parts[f"text_encoder{suffix}"].config.max_position_embeddings
        if longest > places:
            raise UserError(
                f"path: the tokenizer of '{path}' has model_max_length {longest!r:.60} and its "
                f"text encoder {places} places; {COPY_AGAIN}"
            )


def _check_configs(folder: Path) -> None:
    """Refuses a part's config that is no JSON object, which the libraries tell badly."""
    for name in ("config.json", "scheduler_config.json"):
        for file in sorted(folder.glob(f"*/{name}")):
            read_object(file, "path", "a whole folder")


def _download(source: str, revision: str | None, forbidden: bool, read: Read) -> Parts:
    reason = "local_files_only is set"
    if not forbidden:
        try:
            # Asked once and briefly: from_pretrained tries each file six times when offline.
            model_info(source, revision=revision, timeout=10)
            return read(source, False)
        except UserError:
            raise
        except Exception as error:  # whichever the client library of the day raises
            reason = first_line(error)
    raise UserError(
        f"path: '{source}' is not on this machine and could not be downloaded ({reason}); "
        f"where there is a network run `hf download {source} --local-dir DIR`, copy DIR here and "
        "give that, or pocket"
    )
