"""Two ways that do the same, timed in turn, and the machine's own rate."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

_MATRIX = 1024
_LARGE_MATRIX = 8192
"""On a GPU, which a smaller one does not fill."""


@dataclass(frozen=True)
class Way:
    """One way to do some work.

    Attributes:
        run: Does the first so many items and returns what came of them, (count, ...).
        items: How many a timed run does; its seconds are divided by them.
    """

    run: Callable[[int], Tensor]
    items: int


@dataclass(frozen=True)
class Seconds:
    """Medians for one item.

    Attributes:
        wall: Of the clock.
        cpu: Of all threads of this process, which other programs disturb less.
    """

    wall: float
    cpu: float


def compare(plain: Way, ours: Way, items: int, rounds: int, tolerance: float) -> dict[str, Any]:
    """One row: seconds an item of both ways, and their ratio where both do the same.

    Args:
        plain: The public way.
        ours: Ours.
        items: How many are done by both before anything is timed, to see that they agree.
        rounds: Of which the median counts.
        tolerance: Largest difference of an entry at which both ways are the same.
    """
    difference = (plain.run(items) - ours.run(items)).abs().max().item()
    found = {"ratio": None, "ours_s": None, "plain_s": None, "max_difference": difference}
    found["tolerance"] = tolerance
    return found | times(plain, ours, rounds) if difference <= tolerance else found


def times(plain: Way, ours: Way, rounds: int) -> dict[str, float]:
    """Seconds an item of both ways, by the clock and of the CPU, and their ratios."""
    slow, fast = in_turn([plain, ours], rounds)
    return {
        "ratio": slow.wall / fast.wall,
        "ours_s": fast.wall,
        "plain_s": slow.wall,
        "ratio_cpu": slow.cpu / fast.cpu,
        "ours_cpu_s": fast.cpu,
        "plain_cpu_s": slow.cpu,
    }


def in_turn(ways: Sequence[Way], rounds: int) -> list[Seconds]:
    """Medians of each way; they run one after another, round by round."""
    wall: list[list[float]] = [[] for _ in ways]
    cpu: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for number, way in enumerate(ways):
            start, before = perf_counter(), process_time()
            way.run(way.items)
            synchronize()
            wall[number].append((perf_counter() - start) / way.items)
            cpu[number].append((process_time() - before) / way.items)
    medians = statistics.median
    return [Seconds(medians(a), medians(b)) for a, b in zip(wall, cpu, strict=True)]


def synchronize() -> None:
    """Waits for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def flops_of(call: Callable[[], Any]) -> int:
    """Floating-point operations of a call that runs eagerly."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def fastest(ways: Mapping[str, Way]) -> str:
    """The name of the one whose items take the least time, in one round after one to warm up."""
    names = list(ways)
    if len(names) == 1:
        return names[0]
    in_turn([*ways.values()], rounds=1)
    seconds = [one.wall for one in in_turn([*ways.values()], rounds=1)]
    return names[seconds.index(min(seconds))]


def share_of_peak(
    call: Callable[[], Any],
    flops: int,
    rounds: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> float:
    """FLOP/s of a call over that of a product of matrices of a type, timed in turn."""
    side = _MATRIX if torch.device(device).type == "cpu" else _LARGE_MATRIX
    a, b = torch.rand(2, side, side, device=device, dtype=dtype)

    def way(run: Callable[[], Any]) -> Way:
        def times_over(count: int) -> Tensor:
            for _ in range(count):
                run()
            return a

        times_over(1)
        return Way(times_over, 3)

    own, product = in_turn([way(call), way(lambda: a @ b)], rounds)
    return flops / own.wall / (2 * side**3 / product.wall)
