"""The attention probabilities of a UNet of diffusers, read beside an ordinary pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Asked:
    """What one attention layer was asked: hidden states (B, N, C), and the tokens' or None."""

    layer: Any
    hidden: Tensor
    tokens: Tensor | None

    @property
    def places(self) -> int:
        """N."""
        return self.hidden.shape[1]

    def probabilities(self) -> Tensor:
        """Their mean over heads, (B, N, N) of self-attention and (B, N, L) of cross-attention."""
        layer, keys = self.layer, self.hidden if self.tokens is None else self.tokens
        query = layer.head_to_batch_dim(layer.to_q(self.hidden))
        key = layer.head_to_batch_dim(layer.to_k(keys))
        found = layer.get_attention_scores(query, key)
        return found.unflatten(0, (-1, layer.heads)).mean(1)


@contextmanager
def attention_of(layers: Sequence[Any]) -> Iterator[Mapping[Any, Asked]]:
    """Within it, the mapping fills with what each layer was asked last.

    Args:
        layers: Modules ``Attention`` of diffusers. Their own processors stay, so that the pass is
            the same to the bit as without.
    """
    asked: dict[Any, Asked] = {}

    def keep(layer: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        hidden = inputs[0] if inputs else named["hidden_states"]
        asked[layer] = Asked(layer, hidden, named.get("encoder_hidden_states"))

    with ExitStack() as hooks:
        for layer in layers:
            hook = layer.register_forward_pre_hook(keep, with_kwargs=True)
            hooks.callback(hook.remove)
        yield asked


def sizes_below(size: Sequence[int]) -> list[tuple[int, int]]:
    """A latent's (h, w) and its halves down to one place, as convolutions of stride 2 round."""
    height, width = size
    sizes = [(height, width)]
    while height * width > 1:
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    return sizes


def mean_map(
    asked: Sequence[Asked], sizes: Sequence[tuple[int, int]], halvings: int
) -> tuple[Tensor, tuple[int, int]]:
    """The mean over the layers of one size, (B, N, L or N), and that size.

    Args:
        asked: Of layers of one kind.
        sizes: Of the latent and its halves.
        halvings: Which of them is wanted; where no layer has it, the next coarser one counts,
            else the next finer.
    """
    there = [i for i, (h, w) in enumerate(sizes) if any(one.places == h * w for one in asked)]
    coarser = [i for i in there if i >= halvings]
    chosen = sizes[min(coarser) if coarser else max(there)]
    layers = [one for one in asked if one.places == chosen[0] * chosen[1]]
    return torch.stack([one.probabilities().float() for one in layers]).mean(0), chosen
