"""What the bench found: a file of numbers, a table, a figure."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from i2i_dds.evaluation.tables import markdown_of_cells
from i2i_dds.runs import replacing, write_json, write_text

TARGETS = {"zero_shot_single": 1.8, "zero_shot_batch": 3.0, "zero_shot_targets": 3.0}
"""Rows -> plain / ours that is aimed at, for the same result on two cores."""


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def write_report(folder: Path, found: Mapping[str, Any]) -> None:
    """Writes bench.json, table.md and bench.png."""
    write_json(folder / "bench.json", found)
    write_text(folder / "table.md", table(found))
    with replacing(folder / "bench.png") as partial:
        _draw(found, partial)


def table(found: Mapping[str, Any]) -> str:
    """The rows that have a ratio, in Markdown."""
    headers = ["", "plain, s", "ours, s", "plain / ours", "aim", "latents differ by"]
    lines = [
        [name, row["plain_s"], row["ours_s"], row["ratio"], TARGETS[name], row["max_difference"]]
        for name, row in found.items()
        if name in TARGETS
    ]
    return markdown_of_cells(headers, lines, align_right=True)


def _draw(found: Mapping[str, Any], path: Path) -> None:
    """The ratios as bars, the aims as lines across them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in found if name in TARGETS]
    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    axes.bar(names, [found[name]["ratio"] for name in names], 0.5, color="#2a5cdc")
    for place, name in enumerate(names):
        axes.hlines(TARGETS[name], place - 0.3, place + 0.3, color="#e42830")
    axes.axhline(1, color="#999999", lw=1)
    axes.set_ylabel("plain / ours; aim in red")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
