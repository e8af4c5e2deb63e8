"""What the teacher says of training pictures and their prompts, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import Teacher

T = TypeVar("T")

_LOT = 4
"""Pictures that are encoded at once: most of what a batch gains, and little to fill up."""


class NoDeepCopy(Generic[T]):
    """Holds an object that copies of its owner share: averaging weights copies whole modules."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> NoDeepCopy[T]:
        return self


class TeacherCache:
    """Latents of pictures and embeddings of prompts, computed once and kept on the CPU.

    Pictures are encoded in lots of one size, those that are too few filled up, and prompts each by
    itself. In a lot of another size the last bits would differ, and a resumed training, which meets
    its pictures in another company, would drift from an uninterrupted one.

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
        found = {key: self._kept["picture", key] for key in keys if ("picture", key) in self._kept}
        missing = {key: row for key, row in zip(keys, x, strict=True) if key not in found}
        names, lot = list(missing), min(_LOT, len(set(keys)))
        for start in range(0, len(names), lot):
            some = names[start : start + lot]
            rows = [missing[key] for key in some]
            rows += rows[-1:] * (lot - len(rows))
            z = teacher.encode(torch.stack(rows)).to("cpu")
            for key, row in zip(some, z, strict=False):
                found[key] = row.clone()  # of its own memory, not of the lot's
                self._keep("picture", key, found[key])
        stacked = torch.stack([found[key] for key in keys])
        if x.is_cuda:
            stacked = stacked.pin_memory()
        return stacked.to(x.device, non_blocking=True)

    def conditioning(
        self, teacher: Teacher, prompts: Sequence[str], device: torch.device
    ) -> Conditioning:
        """What the teacher is told of prompts (B,)."""
        found = {}
        for prompt in prompts:
            if prompt not in found:
                known = self._kept.get(("prompt", prompt))
                found[prompt] = teacher.embed([prompt]).to("cpu") if known is None else known
                self._keep("prompt", prompt, found[prompt])
        return Conditioning.cat([found[prompt] for prompt in prompts]).to(device)

    def _keep(self, kind: str, name: str, value: Tensor | Conditioning) -> None:
        if (kind, name) in self._kept:
            return
        tensors = value.values() if isinstance(value, Conditioning) else [value]
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if size <= self._free:
            self._free -= size
            self._kept[kind, name] = value
