"""What the teacher says of training pictures and their prompts, computed once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from i2i_dds.diffusion.guidance import classifier_free_guidance
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import Teacher

T = TypeVar("T")

log = logging.getLogger(__name__)

_LOT_OF_PICTURES = 4
"""How many are encoded at once: most of what a batch gains, and little to fill up."""

_LOT_OF_ROWS = 16
"""How many the teacher is asked about at once: likewise."""

_ANSWER = "answer"
"""The kind of value that makes room for the others."""


class NoDeepCopy(Generic[T]):
    """Holds an object that copies of its owner share: averaging weights copies whole modules."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> NoDeepCopy[T]:
        return self


class TeacherCache:
    """Latents, answers about sources, and embeddings of prompts: computed once, kept on the CPU.

    Pictures are encoded in lots of one size, those that are too few filled up, and prompts each by
    itself. In a lot of another size the last bits would differ, and a resumed training, which meets
    its pictures in another company, would drift from an uninterrupted one. The teacher is asked in
    such lots, too, but there the company may show in the last bits.

    Args:
        megabytes: How much to keep; what comes after that is computed anew each time. Answers make
            room for pictures and prompts.
    """

    def __init__(self, megabytes: int = 1024) -> None:
        self._megabytes, self._free = megabytes, megabytes * 2**20
        self._kept: dict[tuple[str, Hashable], Any] = {}
        self._answers: list[Hashable] = []  # names of those that are kept
        self._warned = False

    def __len__(self) -> int:
        return len(self._kept)

    def latents(self, teacher: Teacher, keys: Sequence[str], x: Tensor) -> Tensor:
        """Latents (B, C, h, w) on x's device.

        Args:
            teacher: Whose latents.
            keys: What names each picture for good, (B,).
            x: The pictures, (B, 3, H, W) in [-1, 1].
        """
        encoded = self._each_once(
            "picture", keys, _LOT_OF_PICTURES, lambda rows: teacher.encode(x[rows])
        )
        return _moved(encoded, x.device)

    def source_answers(
        self,
        teacher: Teacher,
        draws: Sequence[Hashable],
        prompts: Sequence[str],
        z_t: Tensor,
        t: Tensor,
        guidance_scale: float,
    ) -> Tensor:
        """The teacher's guided answers about noisy sources, (B, C, h, w).

        Kept are the two that guidance combines, so that its scale may change meanwhile.

        Args:
            teacher: Who answers.
            draws: What names each row's picture, timestep and noise for good, (B,).
            prompts: What the sources show, (B,).
            z_t: Noisy latents, (B, C, h, w).
            t: Timesteps, long (B,).
            guidance_scale: Scale s; at 1 the answers without a prompt are not asked for.
        """

        def answers(told: Sequence[str]) -> Tensor:
            def ask(rows: list[int]) -> Tensor:
                text = self.conditioning(teacher, [told[row] for row in rows], z_t.device)
                return predict_guided(teacher, [z_t[rows]], [text], t[rows], 1.0)[0]

            names = list(zip(draws, told, strict=True))
            return _moved(self._each_once(_ANSWER, names, _LOT_OF_ROWS, ask), z_t.device)

        with_prompt = answers(prompts)
        if guidance_scale == 1:
            return with_prompt
        return classifier_free_guidance(answers([""] * len(prompts)), with_prompt, guidance_scale)

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

    def _each_once(
        self,
        kind: str,
        names: Sequence[Hashable],
        most: int,
        compute: Callable[[list[int]], Tensor],
    ) -> Tensor:
        """One value for each name, (B, ...) on the CPU, of which those that are new are computed.

        Args:
            kind: Of value.
            names: Of the rows.
            most: Rows that are computed at once.
            compute: From the numbers of rows to their values.
        """
        found = {name: self._kept[kind, name] for name in names if (kind, name) in self._kept}
        missing = {name: row for row, name in enumerate(names) if name not in found}
        new, lot = list(missing), min(most, len(set(names)))
        for start in range(0, len(new), lot):
            some = new[start : start + lot]
            rows = [missing[name] for name in some]
            values = compute(rows + rows[-1:] * (lot - len(rows))).to("cpu")
            for name, value in zip(some, values, strict=False):
                found[name] = value.clone()  # of its own memory, not of the lot's
                self._keep(kind, name, found[name])
        return torch.stack([found[name] for name in names])

    def _keep(self, kind: str, name: Hashable, value: Tensor | Conditioning) -> None:
        if (kind, name) in self._kept:
            return
        size = _bytes(value)
        if kind != _ANSWER:
            self._drop_answers(size)
        if size <= self._free:
            self._free -= size
            self._kept[kind, name] = value
            if kind == _ANSWER:
                self._answers.append(name)
        elif kind == _ANSWER and not self._warned:
            self._warned = True
            log.warning(
                "cache_mb: %d MB are full, so the teacher is asked again about some sources; give "
                "more, or fewer source_draws or pictures",
                self._megabytes,
            )

    def _drop_answers(self, size: int) -> None:
        """Makes room, as far as answers take it."""
        while size > self._free and self._answers:
            name = self._answers.pop()
            self._free += _bytes(self._kept.pop((_ANSWER, name)))


def _bytes(value: Tensor | Conditioning) -> int:
    tensors = value.values() if isinstance(value, Conditioning) else [value]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _moved(values: Tensor, device: torch.device) -> Tensor:
    """From the CPU to a device, without waiting for it."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
