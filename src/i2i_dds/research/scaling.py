"""How a training would scale: a simulation, from a measured step and the size of its gradients.

::

    python -m i2i_dds.research.scaling docs/results/scaling/table.csv 0.084

The number is the measured seconds of a picture in a training step on one process; ``bench.json``
has it as ``training.ours_s``. Nothing here was run on several machines.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from i2i_dds.evaluation.summary import write_csv

BATCH = 16
"""Pictures of a step, on all processes together."""

PROCESSES = (2, 4, 8, 16)

GRADIENT_BYTES = {"small": 4 * 4_157_732, "base": 4 * 23_687_236, "teacher_init": 4 * 859_521_732}
"""Of the students of ``conf/student``, in float32; the last is that of Stable Diffusion 1.5."""


@dataclass(frozen=True)
class Network:
    """What joins the processes; assumed.

    Attributes:
        name: For the table.
        bandwidth: Of each process, bytes a second.
        latency: Of a message, seconds.
    """

    name: str
    bandwidth: float
    latency: float


NETWORKS = (
    Network("1 Gb/s", 1e9 / 8, 50e-6),
    Network("10 Gb/s", 10e9 / 8, 20e-6),
    Network("100 Gb/s", 100e9 / 8, 5e-6),
)


def all_reduce_seconds(size: float, processes: int, network: Network) -> float:
    """Of a ring all-reduce of ``size`` bytes: 2 (n - 1) messages of a share of 1 / n each."""
    messages = 2 * (processes - 1)
    return messages * (size / processes / network.bandwidth + network.latency)


def speedup(step: float, size: float, processes: int, network: Network) -> float:
    """Of a step whose pictures are shared out, and whose all-reduce waits for its end.

    DDP sends gradients while others are computed, so the true number lies between this one and
    ``processes``, where a share of a batch takes its share of the time.

    Args:
        step: Seconds on one process.
        size: Bytes of the gradients.
        processes: How many.
        network: What joins them.
    """
    return step / (step / processes + all_reduce_seconds(size, processes, network))


def lines(picture_seconds: float) -> Iterator[dict[str, str]]:
    """Of the table: each student on each network; the step that was measured is the small one's.

    Args:
        picture_seconds: Of a training step, by picture.
    """
    for student, size in GRADIENT_BYTES.items():
        for network in NETWORKS:
            found = {
                "student": student,
                "network": network.name,
                "gradient_mb": f"{size / 1e6:.1f}",
                "all_reduce_8_s": f"{all_reduce_seconds(size, 8, network):.4g}",
            }
            for n in PROCESSES:
                value = speedup(BATCH * picture_seconds, size, n, network)
                found[f"speedup_{n}"] = f"{value:.4g}" if student == "small" else ""
            yield found


def write_table(path: Path, picture_seconds: float) -> None:
    """Writes the table as a csv file."""
    rows = list(lines(picture_seconds))
    write_csv(path, list(rows[0]), rows)


if __name__ == "__main__":
    write_table(Path(sys.argv[1]), float(sys.argv[2]))
