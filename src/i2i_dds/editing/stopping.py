"""When a zero-shot edit has gone far enough."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from i2i_dds.checks import check_fields, checked, integer, number, optional, require
from i2i_dds.editing.interface import EditStep

_LEAST, _WINDOW = number(above=0, below=1), integer(min=2)


@dataclass
class AgreementStop:
    """Stops an item when its last steps no longer agree on a direction.

    Of the last n steps of an item,

        agreement = ||z_i - z_{i-n}|| / sum_{j=i-n+1..i} ||z_j - z_{j-1}||,

    the way it got over the way it went, in [0, 1]: 1 while all steps go one way, about
    1/sqrt(n) of a random walk, less where they take each other back. While the edit is being made
    the score's steps agree; once it is there they are noise around it. An item that has not moved
    at all in n steps has agreement 0.

    It remembers the last n + 1 latents of the batch at hand and forgets them at step 0;
    :class:`LatentOptimization` gives every batch a copy of its own. The first answer that may be
    yes is after step n + 1.

    Attributes:
        least: An item with less agreement is done, in (0, 1).
        window: n, at least 2.
    """

    least: float = checked(_LEAST)
    window: int = checked(_WINDOW, default=20)
    _path: deque[Tensor] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_fields(self)
        self._path = deque(maxlen=self.window + 1)

    def __call__(self, done: EditStep) -> Tensor:
        """Which items are done, (B,)."""
        if done.step == 0:
            self._path.clear()
        self._path.append(done.z)
        if len(self._path) <= self.window:
            return torch.zeros(len(done.z), dtype=torch.bool, device=done.z.device)
        return agreement(torch.stack([*self._path])) < self.least


def agreement(path: Tensor) -> Tensor:
    """Distance from the path's first to its last point over its length.

    Args:
        path: Points of B items, (n + 1, B, ...).

    Returns:
        (B,) in [0, 1]; 0 of an item that does not move.
    """
    points = path.flatten(2)
    reached = (points[-1] - points[0]).norm(dim=-1)
    gone = points.diff(dim=0).norm(dim=-1).sum(0)
    return torch.where(gone > 0, (reached / gone).clamp(max=1), torch.zeros_like(gone))


def early_stop(least: float | None, window: int = 20) -> AgreementStop | None:
    """The rule, or None, which runs all steps, where ``least`` is None.

    Raises:
        UserError: A value is not allowed; the message names the argument.
    """
    require("least", least, optional(_LEAST))
    require("window", window, _WINDOW)
    return None if least is None else AgreementStop(least, window)
