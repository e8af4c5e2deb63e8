"""Per-item random numbers.

Every item owns a generator seeded from (seed, key), and all of an item's draws come from it. So
an item's result does not depend on the batch, the rank or the device it was computed on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def item_generators(
    seed: int, keys: Sequence[int | str], device: torch.device | str = "cpu"
) -> list[Generator]:
    """One generator per item, seeded by a stable hash of the run's seed and the item's key.

    Args:
        seed: The run's seed.
        keys: What names each item for good: its index in the data set, or its file's name.
        device: Where the generators live; on the CPU the numbers are the same everywhere.
    """
    return [Generator(device).manual_seed(_mixed(seed, key)) for key in keys]


def randn(
    generators: Sequence[Generator],
    shape: Sequence[int],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Standard normal noise (B, *shape), item i from ``generators[i]``.

    Drawn in float32 where the generator lives, then converted: the same numbers in every
    type and on every device.
    """
    draws = [torch.randn(tuple(shape), generator=g, device=g.device) for g in generators]
    return torch.stack(draws).to(device=device, dtype=dtype)


def _mixed(seed: int, key: int | str) -> int:
    kind = "text" if isinstance(key, str) else "index"
    named = f"{int(seed)}/{kind}/{key}".encode()
    # 63 bits: manual_seed takes no unsigned 64-bit number.
    return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "big") >> 1
