"""Rows of a batch that ask the same: one of them is asked, and all get its answer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SameRows:
    """Which rows of B are the same, known before the device has computed them.

    Attributes:
        labels: For each row the number of the first one that is the same.
        first: Those that are asked, long (U,), U below B.
        back: For each row the place of its answer among them, long (B,).
    """

    labels: tuple[int, ...]
    first: Tensor
    back: Tensor

    @classmethod
    def of(cls, things: Sequence[Hashable], device: torch.device | str = "cpu") -> SameRows | None:
        """Rows are the same where their things are equal; None where no two are."""
        numbers: dict[Hashable, int] = {}
        labels = tuple(numbers.setdefault(thing, row) for row, thing in enumerate(things))
        asked = list(numbers.values())
        if len(asked) == len(labels):
            return None
        back = [asked.index(label) for label in labels]
        return cls(labels, *(torch.tensor(rows, device=device) for rows in (asked, back)))

    def agree(self, values: Sequence[object]) -> bool:
        """Whether rows that are the same have equal values."""
        return all(values[row] == values[label] for row, label in enumerate(self.labels))
