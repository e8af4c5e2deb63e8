"""What the teacher says of training pictures and their prompts, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import Teacher

T = TypeVar("T")
Kept = TypeVar("Kept", Tensor, Conditioning)


class NoDeepCopy(Generic[T]):
    """Holds an object that copies of its owner share: averaging weights copies whole modules."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> NoDeepCopy[T]:
        return self


class TeacherCache:
    """Latents of pictures and embeddings of prompts, computed once and kept on the CPU.

    Each is computed by itself: in another company it would differ in the last bits, and a resumed
    training would drift from an uninterrupted one.

    Args:
        megabytes: How much to keep; what comes after that is computed anew each time.
    """

    def __init__(self, megabytes: int = 1024) -> None:
        self._free = megabytes * 2**20
        self._kept: dict[tuple[str, str], Any] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def latents(self, teacher: Teacher, keys: Sequence[str], x: Tensor) -> Tensor:
        """Latents (B, C, h, w) on x's device.

        Args:
            teacher: Whose latents.
            keys: What names each picture for good, (B,).
            x: The pictures, (B, 3, H, W) in [-1, 1].
        """
        found = [
            self._get("picture", key, lambda row=row: teacher.encode(row[None])[0])
            for key, row in zip(keys, x, strict=True)
        ]
        stacked = torch.stack(found)
        if x.is_cuda:
            stacked = stacked.pin_memory()
        return stacked.to(x.device, non_blocking=True)

    def conditioning(
        self, teacher: Teacher, prompts: Sequence[str], device: torch.device
    ) -> Conditioning:
        """What the teacher is told of prompts (B,)."""
        found = [
            self._get("prompt", prompt, lambda prompt=prompt: teacher.embed([prompt]))
            for prompt in prompts
        ]
        return Conditioning.cat(found).to(device)

    def _get(self, kind: str, name: str, compute: Callable[[], Kept]) -> Kept:
        if (kind, name) in self._kept:
            return self._kept[kind, name]
        value = compute().to("cpu")
        tensors = value.values() if isinstance(value, Conditioning) else [value]
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if size <= self._free:
            self._free -= size
            self._kept[kind, name] = value
        return value
