"""Two ways timed in turn, the machine's own rate, and a command beside busy neighbors."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

_MATRIX = 1024


def in_turn(ways: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Median seconds of each way; they run one after another, round by round, after a warm-up."""
    for way in ways:
        way()
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, found in zip(ways, seconds, strict=True):
            start = perf_counter()
            way()
            found.append(perf_counter() - start)
    return [statistics.median(found) for found in seconds]


def share_of_peak(call: Callable[[], Any], rounds: int) -> float:
    """FLOP/s of a call over that of a product of float32 matrices, timed in turn."""
    with FlopCounterMode(display=False) as counter:
        call()
    a, b = torch.rand(2, _MATRIX, _MATRIX)
    own, product = in_turn([call, lambda: a @ b], rounds)
    return counter.get_total_flops() / own / (2 * _MATRIX**3 / product)


def crowded(arguments: Sequence[str], neighbors: int = 2) -> dict[str, float]:
    """Seconds of ``i2i edit`` beside busy processes: as torch would run it, and as we do.

    Args:
        arguments: Of the command, beside where it writes.
        neighbors: How many processes burn a core each.

    Returns:
        "before_s" with all cores and threads that spin while they wait, "after_s" with those that
        are free and threads that sleep, "alone_s" the same without neighbors.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    spinning = {**kept, "OMP_WAIT_POLICY": "active"}

    def run(environment: dict[str, str], threads: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            words = [*arguments, f"threads={threads}", f"paths.output_dir={folder}"]
            start = perf_counter()
            subprocess.run(
                [sys.executable, "-m", "i2i_dds", "edit", *words],
                env=environment,
                check=True,
                capture_output=True,
            )
            return perf_counter() - start

    alone = run(kept, "auto")
    with _busy(neighbors):
        return {
            "before_s": run(spinning, "null"),
            "after_s": run(kept, "auto"),
            "alone_s": alone,
        }


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Within it, so many processes burn a core each."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()
