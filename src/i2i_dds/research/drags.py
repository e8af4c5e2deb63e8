"""One setting's drags of Critters as a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from i2i_dds.data.dragbench import TruthItem
from i2i_dds.data.images import to_tensor
from i2i_dds.editing.drag_items import Dragged
from i2i_dds.evaluation.aggregate import mean
from i2i_dds.evaluation.drag_metric import DRAG_METRICS, MeasuredDrag, measure_drag


def drag_row(done: Sequence[tuple[TruthItem, Dragged]]) -> dict[str, Any]:
    """Means over drags: the share that arrived, of each kind too, the gain in PSNR, what it cost.

    Args:
        done: Each drag with its answer.
    """
    numbers = [_numbers(truth, dragged) for truth, dragged in done]
    kinds = [truth.kind for truth, _ in done]

    row: dict[str, Any] = {"n": len(done), "arrived": mean(one["arrived"] for one in numbers)}
    for kind in sorted(set(kinds)):
        of_kind = [one for one, its in zip(numbers, kinds, strict=True) if its == kind]
        row[f"arrived_{kind}"] = mean(one["arrived"] for one in of_kind)
    row["psnr_truth"] = mean(one["psnr_truth"] for one in numbers)
    row["psnr_truth_gain"] = mean(one["psnr_truth"] - one["psnr_truth_source"] for one in numbers)
    row["outside_equal"] = mean(one["outside_equal"] for one in numbers)
    row["seconds_per_item"] = mean(dragged.seconds for _, dragged in done)
    row["evaluations_per_item"] = mean(float(dragged.nfe) for _, dragged in done)
    return row


def _numbers(truth: TruthItem, dragged: Dragged) -> dict[str, float]:
    measured = MeasuredDrag(truth.item, dragged, to_tensor(truth.item.image), truth)
    return measure_drag(DRAG_METRICS.values(), measured)
