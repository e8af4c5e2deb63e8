"""One setting's drags of Critters as a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from i2i_dds.data.dragbench import TruthItem
from i2i_dds.editing.drag_items import Dragged
from i2i_dds.evaluation.aggregate import mean
from i2i_dds.evaluation.drags import outside_equal, truth_numbers


def drag_row(done: Sequence[tuple[TruthItem, Dragged]], tolerance: float) -> dict[str, Any]:
    """Means over drags: the share that arrived, of each kind too, the gain in PSNR, what it cost.

    Args:
        done: Each drag with its answer.
        tolerance: Pixels within which a thing has arrived.
    """
    numbers = [truth_numbers(truth, dragged.x, tolerance) for truth, dragged in done]

    row: dict[str, Any] = {"n": len(done), "arrived": mean([n["arrived"] for n in numbers])}
    for kind in sorted({n["kind"] for n in numbers}):
        row[f"arrived_{kind}"] = mean([n["arrived"] for n in numbers if n["kind"] == kind])
    row["psnr_truth"] = mean([n["psnr_truth"] for n in numbers])
    row["psnr_truth_gain"] = mean([n["psnr_truth"] - n["psnr_truth_source"] for n in numbers])
    row["outside_equal"] = mean([float(outside_equal(dragged)) for _, dragged in done])
    row["seconds_per_item"] = mean([dragged.seconds for _, dragged in done])
    row["evaluations_per_item"] = mean([float(dragged.nfe) for _, dragged in done])
    return row
