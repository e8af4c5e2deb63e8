"""Loading networks by diffusers and transformers: quietly, and with one sentence for damage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffusers.utils import logging as diffusers_logging
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from i2i_dds.errors import UserError
from i2i_dds.reading import parse_object

COPY_AGAIN = "copy the folder again, or give one whose weights fit their config.json"

ATTENTION = "sdpa"
"""Given, for a config may name a repository of kernels, which would be downloaded and run."""

CONFIG = "config.json"
"""Of a network, beside its weights."""

TOKENIZER_CONFIG = "tokenizer_config.json"
MOST_LAYERS, MOST_WIDTH = 1000, 2**24
"""Of a network's config: no number of layers is larger, and no other whole number."""

MARKS = 3
"""Tokens of an empty CLIP tokenizer: start, end, padding."""

_IGNORED = "position_ids"
"""The ending of a buffer that older files of CLIP hold, and newer code makes itself."""


def load_whole(
    kind: Any, source: str, called: str, advice: str = COPY_AGAIN, **options: Any
) -> Any:
    """A network from safetensors, whose every weight is accounted for.

    The libraries fill up what a file lacks with random numbers, or leave it without any.

    Args:
        kind: A class of diffusers or transformers.
        source: Folder or hub id.
        called: Argument and file, with which a sentence about damage begins.
        advice: What to give instead, with which it ends.
        **options: Of ``from_pretrained``.

    Raises:
        UserError: The file lacks a tensor, has one too many or one of another shape, or is none.
        OSError, SafetensorError: Something is not there.
    """
    check_config(source, called, advice, **options)
    if PreTrainedModel in kind.__mro__:
        options |= {"ignore_mismatched_sizes": True}  # else its error names no tensor
    with refusing_damage(called, advice), quiet_loading():
        network, info = kind.from_pretrained(
            source, use_safetensors=True, output_loading_info=True, **options
        )
    mismatched = [name if isinstance(name, str) else name[0] for name in info["mismatched_keys"]]
    refuse_strangers(called, info["missing_keys"], info["unexpected_keys"], mismatched, advice)
    return network


def refuse_strangers(
    called: str,
    missing: Iterable[str],
    unexpected: Iterable[str],
    misshapen: Iterable[str],
    advice: str = COPY_AGAIN,
) -> None:
    """Refuses weights that are not those of their network.

    Args:
        called: Argument and file, with which the sentence begins.
        missing: Names of tensors that the file lacks.
        unexpected: Of those that the network has not.
        misshapen: Of those of another shape.
        advice: What to give instead, with which it ends.

    Raises:
        UserError: There are such, other than position ids.
    """
    for names, has in (
        (missing, "lacks"),
        (unexpected, "has, unlike its config.json,"),
        (misshapen, "has in another shape"),
    ):
        wrong = sorted(name for name in names if not name.endswith(_IGNORED))
        if wrong:
            count = f"{len(wrong)} tensors, such as {wrong[0]}"
            raise UserError(f"{called} {has} {count}; {advice}")


def check_sizes(config: Any, called: str, advice: str = COPY_AGAIN, name: str = "") -> None:
    """Refuses numbers of a network's config that no network has.

    Networks are built before their weights are compared with them: of a number of layers that is
    made up, for ever.

    Args:
        config: The config, or a part of it.
        called: Argument and file, with which the sentence begins.
        advice: What to give instead, with which it ends.
        name: The key that the part stands under.

    Raises:
        UserError: One is too large.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            check_sizes(value, called, advice, str(key))
    elif isinstance(config, list | tuple):
        for value in config:
            check_sizes(value, called, advice, name)
    elif isinstance(config, int):
        most = MOST_LAYERS if "layers" in name or name == "extra_ids" else MOST_WIDTH
        if abs(config) > most and name != "model_max_length":
            raise UserError(f"{called} has {name} {config!r:.40}, above {most}; {advice}")


def check_config(
    source: str, called: str, advice: str = COPY_AGAIN, name: str = CONFIG, **options: Any
) -> None:
    """As :func:`check_sizes`, of a config that lies in a folder, or of a hub's in the cache.

    Args:
        source: Folder or hub id.
        called: Argument and file, with which the sentence begins.
        advice: What to give instead, with which it ends.
        name: The config's file.
        **options: Of ``from_pretrained``.

    Raises:
        UserError: A number is too large, or it is no JSON. One that is absent is not looked at.
    """
    part = options.get("subfolder", "")
    if Path(source).is_dir():
        file = Path(source) / part / name
    else:
        there, revision = f"{part}/{name}".lstrip("/"), options.get("revision")
        try:
            file = Path(hf_hub_download(source, there, revision=revision, local_files_only=True))
        except Exception:  # whichever the client library of the day raises
            return
    if file.is_file():
        with refusing_damage(called, advice):
            check_sizes(parse_object(file.read_bytes()), called, advice)


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Within it, the libraries draw neither bars nor tables of the weights that they load."""
    shown = transformers_logging.is_progress_bar_enabled()
    level = transformers_logging.get_verbosity()
    level_of_diffusers = diffusers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    diffusers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        diffusers_logging.set_verbosity(level_of_diffusers)
        if shown:
            transformers_logging.enable_progress_bar()


@contextmanager
def refusing_damage(called: str, advice: str = COPY_AGAIN) -> Iterator[None]:
    """Within it, what the libraries raise for files that are no model ends in one sentence.

    Args:
        called: Argument and file, with which the sentence begins.
        advice: What to give instead, with which it ends.

    Raises:
        UserError: For anything but an OSError or a SafetensorError, which say what is missing.
    """
    try:
        yield
    except (UserError, OSError, SafetensorError, MemoryError):
        raise
    except Exception as error:  # any: they parse names, numbers and classes out of the files
        raise UserError(f"{called} cannot be read ({first_line(error)}); {advice}") from error


def highest_token(tokenizer: Any) -> int:
    """The largest number that a tokenizer gives; there may be fewer tokens than that."""
    return max(tokenizer.get_vocab().values())


def first_line(error: Exception) -> str:
    """What an error says, in its first line; of a tensor of another shape, its name and shapes."""
    misshapen = re.search(r"\S+ expected shape .+?, but got \S+\[[^]]*\]\)", str(error))
    if misshapen:
        return misshapen[0]
    return (str(error).strip() or type(error).__name__).splitlines()[0]
