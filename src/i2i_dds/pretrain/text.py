"""A CLIP tokenizer for Critters: words where captions have them, letters for all the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

MAX_TOKENS = 32
MARKS = ("<|startoftext|>", "<|endoftext|>")


def new_tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """Learns byte-pair merges from captions until each of their words is one token.

    Args:
        captions: what the merges are learned from; the same ones give the same tokenizer.

    Returns:
        A tokenizer of at most `MAX_TOKENS` tokens a prompt.
    """
    captions = [caption.lower() for caption in captions]
    bpe, split = Tokenizer(models.BPE(end_of_word_suffix="</w>")), pre_tokenizers.Whitespace()
    bpe.pre_tokenizer = split
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ends = {
        word[-1] + "</w>" for caption in captions for word, _ in split.pre_tokenize_str(caption)
    }
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        end_of_word_suffix="</w>",
        show_progress=False,
        # Else they are numbered in the order of a hash map, another in each run, which decides
        # which of two pairs that are equally frequent is merged first.
        special_tokens=sorted(ends),
    )
    bpe.train_from_iterator(captions, trainer)
    merges: Any = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(a + "</w>" for a in alphabet), *(a + b for a, b in merges), *MARKS]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def new_text_encoder(tokenizer: CLIPTokenizer, width: int = 128, layers: int = 2) -> CLIPTextModel:
    """An untrained `CLIPTextModel` for a tokenizer."""
    config: dict[str, Any] = {
        **text_config(tokenizer, width, layers),
        "projection_dim": width,
    }
    return CLIPTextModel(CLIPTextConfig(**config))


def new_projected_encoder(
    tokenizer: CLIPTokenizer, width: int, layers: int
) -> CLIPTextModelWithProjection:
    """An untrained text encoder with a pooled output as wide as itself, as SDXL and SD 3 have."""
    config: dict[str, Any] = {**text_config(tokenizer, width, layers), "projection_dim": width}
    return CLIPTextModelWithProjection(CLIPTextConfig(**config))


def text_config(tokenizer: CLIPTokenizer, width: int, layers: int) -> dict[str, Any]:
    """What a text tower of `width` and `layers` needs to know of its tokenizer and itself."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "max_position_embeddings": MAX_TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
