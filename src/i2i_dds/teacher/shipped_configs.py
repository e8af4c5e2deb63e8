"""The configs that ship, for single files, which hold weights alone."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from i2i_dds.reading import parse_object
from i2i_dds.teacher.loading import TOKENIZER_CONFIG

SHIPPED = Path(__file__).parent / "configs"
"""A folder for each model, in diffusers' format, without weights and vocabularies."""


def shipped_configs() -> list[str]:
    """Their names."""
    return sorted(folder.name for folder in SHIPPED.iterdir() if folder.is_dir())


def is_shipped(source: str) -> bool:
    """Whether a folder is one of them."""
    return Path(source).parent == SHIPPED


def shipped_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer, which marks and pads as the folder says."""
    config = parse_object((folder / TOKENIZER_CONFIG).read_bytes())
    config.pop("tokenizer_class")
    merges = _merges()
    return CLIPTokenizer(vocab=_vocabulary(merges), merges=merges, **config)


@cache
def _merges() -> Any:
    text = gzip.decompress((SHIPPED / "clip_merges.txt.gz").read_bytes()).decode()
    return [(left, right) for left, right in (line.split() for line in text.splitlines())]


def _vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Bytes inside a word, bytes at its end, what they merge to, start and end."""
    bytes_ = _letters()
    tokens = [*bytes_, *(f"{letter}</w>" for letter in bytes_), *map("".join, merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}


def _letters() -> list[str]:
    """A letter for every byte: those that print stand for themselves, and come first."""
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = 256 - len(printing)
    return [chr(code) for code in (*printing, *range(256, 256 + others))]
