"""Numbers and tokenizers of a checkpoint that no weight depends on, and that make sense or not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from i2i_dds.errors import UserError
from i2i_dds.teacher.latent_scale import has_statistics
from i2i_dds.teacher.loading import COPY_AGAIN, MARKS, highest_token


def check_parts(path: str, parts: Mapping[str, Any], clip_lengths: bool = True) -> None:
    """Refuses parts whose numbers or tokenizers make no sense.

    Args:
        path: Of the checkpoint.
        parts: ``vae``; and ``tokenizer``, ``text_encoder``, with the second and third of both if
            it has them.
        clip_lengths: Whether a CLIP's tokenizer may fill a text up to no more tokens than its
            encoder has places.

    Raises:
        UserError: One does not.
    """
    tokenizers = [part for name, part in parts.items() if name.startswith("tokenizer")]
    _check_numbers(path, parts["vae"], *tokenizers)
    _check_tokens(path, parts)
    if clip_lengths:
        _check_lengths(path, parts)


def check_distances(called: str, config: Any) -> None:
    """Refuses buckets of distances between words that no weight depends on, and no T5 has.

    Args:
        called: Argument and file, with which the sentence begins.
        config: Of a T5.

    Raises:
        UserError: It has such.
    """
    buckets = config.relative_attention_num_buckets
    farthest = config.relative_attention_max_distance
    if not isinstance(farthest, int) or buckets < 4 or farthest <= buckets // 4:
        raise UserError(
            f"{called} has relative_attention_max_distance {farthest!r:.60} for {buckets} "
            f"buckets; {COPY_AGAIN}"
        )


def _check_numbers(path: str, vae: Any, *tokenizers: Any) -> None:
    """Refuses numbers of the configs that are none, or out of their range."""
    numbers = {"scaling_factor": 0.0, "shift_factor": -math.inf}
    if has_statistics(vae):
        numbers = {"batch_norm_eps": 0.0}
        _check_statistics(path, vae)
    for name, least in numbers.items():
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


def _check_statistics(path: str, vae: Any) -> None:
    """Refuses means and variances of latents that are none, or not of patches of 2 x 2."""
    patch = vae.config.patch_size
    if not isinstance(patch, list | tuple) or list(patch) != [2, 2]:
        raise UserError(f"path: the VAE of '{path}' has patch_size {patch!r:.60}; {COPY_AGAIN}")
    mean, variance = vae.bn.running_mean, vae.bn.running_var
    if mean.is_meta:
        return
    if not (mean.isfinite().all() and variance.isfinite().all() and (variance >= 0).all()):
        raise UserError(
            f"path: the VAE of '{path}' has means or variances of latents that are none; "
            f"{COPY_AGAIN}"
        )


def _check_tokens(path: str, parts: Mapping[str, Any]) -> None:
    """Refuses a tokenizer of tokens its encoder does not know, or of none that fills a text up."""
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


def _check_lengths(path: str, parts: Mapping[str, Any]) -> None:
    """Refuses a CLIP's tokenizer that fills up past its encoder's last place.

    Diffusers pads to what the tokenizer says, whatever that is. A T5 has no last place.
    """
    for suffix in ("", "_2", "_3"):
        if f"tokenizer{suffix}" not in parts:
            continue
        longest = parts[f"tokenizer{suffix}"].model_max_length
        config = parts[f"text_encoder{suffix}"].config
        places = getattr(config, "max_position_embeddings", longest)
        if longest > places:
            raise UserError(
                f"path: the tokenizer of '{path}' has model_max_length {longest!r:.60} and its "
                f"text encoder {places} places; {COPY_AGAIN}"
            )
