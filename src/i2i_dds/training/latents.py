"""Latents and text embeddings of training pictures, each the same however it comes about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from i2i_dds.teacher.interface import Teacher

T = TypeVar("T")


class Shared(Generic[T]):
    """Holds an object that copies of its owner share: averaging weights copies whole modules."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> Shared[T]:
        return self


class LatentCache:
    """Source latents by key, computed once and kept on the CPU.

    Each picture is encoded by itself: in another company its latent would differ in the last
    bits, and a resumed training would drift from an uninterrupted one.

    Args:
        megabytes: How much to keep; what comes after that is computed anew each time.
    """

    def __init__(self, megabytes: int = 1024) -> None:
        self._free = megabytes * 2**20
        self._kept: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __call__(self, teacher: Teacher, keys: Sequence[str], x: Tensor) -> Tensor:
        """Latents (B, C, h, w) on x's device.

        Args:
            teacher: Whose latents.
            keys: What names each picture for good, (B,).
            x: The pictures, (B, 3, H, W) in [-1, 1].
        """
        found = [self._latent(teacher, key, row) for key, row in zip(keys, x, strict=True)]
        return torch.stack(found).to(x.device)

    def _latent(self, teacher: Teacher, key: str, x: Tensor) -> Tensor:
        if key in self._kept:
            return self._kept[key]
        z = teacher.encode(x[None])[0].cpu()
        size = z.numel() * z.element_size()
        if size <= self._free:
            self._free -= size
            self._kept[key] = z
        return z


def embed_each(teacher: Teacher, prompts: Sequence[str], device: torch.device) -> Tensor:
    """Embeddings (B, L, D), each prompt's computed by itself, for the reason above."""
    distinct = {prompt: teacher.embed([prompt]) for prompt in dict.fromkeys(prompts)}
    return torch.cat([distinct[prompt] for prompt in prompts]).to(device)
