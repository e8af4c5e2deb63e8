"""The contrastive loss of patches (PatchNCE of CUT: Park et al., ECCV 2020, eqs. 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from i2i_dds.diffusion.randomness import item_generators


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """How badly each patch of a picture finds its own place among the patches of another.

    A cross-entropy over cosine similarities: query i's right answer is key i, the other keys of
    the same item are wrong. For item b

        L_b = -1/n sum_i log softmax_j(cos(q_i, k_j) / temperature)[i].

    Args:
        queries: Features of the edited picture, (B, n, C).
        keys: Features of the source at the same n places, (B, n, C); no gradient flows into them.
        temperature: Above 0; 0.07 in CUT.

    Returns:
        (B,), in float32 where the features are of half precision.
    """
    wide = torch.promote_types(queries.dtype, torch.float32)
    q, k = (F.normalize(part.to(wide), dim=-1) for part in (queries, keys.detach()))
    similarity = q @ k.transpose(1, 2) / temperature
    return -similarity.log_softmax(-1).diagonal(dim1=1, dim2=2).mean(1)


def pick(features: Tensor, generators: Sequence[Generator], patches: int) -> Tensor:
    """Up to ``patches`` places of each item, drawn without repetition, (B, n) long.

    Args:
        features: Of one layer, (B, N, C).
        generators: One per item, on the CPU.
        patches: n is this or N, whichever is less.
    """
    places = features.shape[1]
    drawn = [torch.randperm(places, generator=own)[:patches] for own in generators]
    return torch.stack(drawn).to(features.device)


def at(features: Tensor, places: Tensor) -> Tensor:
    """The features (B, N, C) at places (B, n): (B, n, C)."""
    return features.gather(1, places[..., None].expand(-1, -1, features.shape[2]))


def generators_of(eps: Tensor) -> list[Generator]:
    """One generator per item, seeded by a hash of the first row of its noise eps (B, C, h, w).

    A score is given no generator, but its noise is an item's own and new at each step. Hashed
    and not ranked: the patches where the noise happens to be small are no fair sample.
    """
    rows = eps[:, 0, 0].tolist()
    return [item_generators(0, [str(row)])[0] for row in rows]
