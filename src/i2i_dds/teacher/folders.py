"""Finds checkpoints in diffusers' format: shipped ones, folders, and those of the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import hf_hub_download, model_info
from safetensors import SafetensorError

from i2i_dds.errors import UserError
from i2i_dds.pocket import directory
from i2i_dds.reading import expanded, read_object
from i2i_dds.teacher.families import INDEX, POCKETS, Family, check_family, pipeline_in, read_index
from i2i_dds.teacher.loading import first_line

NETWORKS = ("unet", "transformer")
"""Folders of the network that predicts, whichever a family has."""

T = TypeVar("T")


def read_checkpoint(
    path: str,
    family: Family,
    revision: str | None,
    local_files_only: bool | None,
    read: Callable[[str, bool], T],
    variant: str | None = None,
) -> T:
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

        def check_and_read(source: str, cached: bool) -> T:
            """Asks for the index first: of another family no weights shall come."""
            index = index_of(source, revision, local_files_only=False)
            if index is not None:
                check_family(pipeline_in(index), path, family)
            return read(source, cached)

        return _download(source, revision, bool(local_files_only), check_and_read)


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


def weights_variant(source: str) -> str | None:
    """What stands before ``.safetensors`` where a folder has such weights alone, as "fp16"."""
    for network in NETWORKS:
        folder = Path(source) / network
        files = [path.name for path in folder.glob("diffusion_pytorch_model*.safetensors")]
        plain = [name for name in files if re.match(r"\w+(-\d+-of-\d+)?\.safetensors$", name)]
        if files:
            return None if plain else min(name.split(".")[1] for name in files)
    return None


def _check_configs(folder: Path) -> None:
    """Refuses a part's config that is no JSON object, which the libraries tell badly."""
    for name in ("config.json", "scheduler_config.json"):
        for file in sorted(folder.glob(f"*/{name}")):
            read_object(file, "path", "a whole folder")


def _download(
    source: str, revision: str | None, forbidden: bool, read: Callable[[str, bool], T]
) -> T:
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
