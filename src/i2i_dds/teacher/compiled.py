"""A frozen network that compiles itself where that saves more time than it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor

from i2i_dds.progress import notify

_LOOKED_AT = 3
"""Calls of a kind that are timed before it is decided; the first of them counts for nothing."""
_COST = 120.0
"""Seconds that compiling takes, before it has been measured here (docs/performance.md)."""
_SAVES = 0.3
"""Share of the time that a compiled network saves (docs/performance.md)."""


@dataclass
class _Kind:
    """Calls with tensors of the same sizes and types."""

    seconds: list[float] = field(default_factory=list)
    compiled: Any = None


class CompiledWherePaying:
    """Calls a frozen network, compiled for sizes that come often enough.

    The first calls of a size are timed. It is compiled if what that saves in the calls to come is
    more than it takes; other sizes stay as they were. Inductor takes the weights as constants and
    keeps its work between processes. What is compiled differs from the network by rounding.

    Args:
        network: Frozen, and called without gradients.
        calls: How many are to come; None compiles every size that comes three times.
    """

    def __init__(self, network: torch.nn.Module, calls: int | None = None) -> None:
        self.network, self.calls = network, calls
        self.cost = _COST
        self._made, self._kinds = 0, {}

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the network says."""
        kind = self._kinds.setdefault(_sizes(args, named), _Kind())
        self._made += 1
        if kind.compiled is not None:
            return kind.compiled(*args, **named)
        if len(kind.seconds) >= _LOOKED_AT:
            return self.network(*args, **named)
        start = time.perf_counter()
        output = self.network(*args, **named)
        _wait(args, named)
        kind.seconds.append(time.perf_counter() - start)
        if len(kind.seconds) == _LOOKED_AT and self._pays(median(kind.seconds[1:])):
            kind.compiled = self._compile(args, named)
        return output

    def _pays(self, seconds: float) -> bool:
        return self.calls is None or self.saved(seconds) > self.cost

    def saved(self, seconds: float) -> float:
        """Seconds that compiling saves in the calls to come, of ``seconds`` each."""
        assert self.calls is not None
        return max(0, self.calls - self._made) * seconds * _SAVES

    def _compile(self, args: Any, named: Any) -> Any:
        notify("compiling the teacher's network for this job, which takes a minute or two")
        compiled = torch.compile(self.network, dynamic=False, options={"freezing": True})
        start = time.perf_counter()
        compiled(*args, **named)
        _wait(args, named)
        self.cost = time.perf_counter() - start
        return compiled


def _tensors(args: Any, named: Any) -> list[tuple[str, Tensor]]:
    """With their names; those in a dict among them."""
    flat = [*enumerate(args), *named.items()]
    flat += [pair for _, value in flat if isinstance(value, dict) for pair in value.items()]
    return [(str(name), value) for name, value in flat if isinstance(value, Tensor)]


def _sizes(args: Any, named: Any) -> tuple[Any, ...]:
    return tuple((name, value.shape, value.dtype) for name, value in _tensors(args, named))


def _wait(args: Any, named: Any) -> None:
    """For a GPU, whose calls return before they are done."""
    if any(value.is_cuda for _, value in _tensors(args, named)):
        torch.cuda.synchronize()
