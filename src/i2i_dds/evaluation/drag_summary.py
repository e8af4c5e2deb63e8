"""A benchmark of drags in a few numbers: its means, and the table of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from i2i_dds.evaluation.aggregate import mean
from i2i_dds.evaluation.drag_metric import DRAG_METRICS, MeasuredDrag
from i2i_dds.evaluation.drags import DragRow
from i2i_dds.evaluation.metric import Metric
from i2i_dds.evaluation.tables import Column, markdown_of_cells

_COUNTS = (Column("items", "n", 0), Column("failed", "failed", 0))
_COSTS = (
    Column("seconds an item", "seconds_per_item"),
    Column("and for its LoRA", "lora_seconds_per_item"),
    Column("UNet evaluations an item", "evaluations_per_item", 0),
)


def drag_metrics(
    rows: Sequence[DragRow],
    seconds: Mapping[str, float],
    lora_seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The benchmark's numbers over the rows that worked; None where nothing could be measured.

    DragDiffusion's distance is the mean over all pairs of all items, RegionDrag's over items, as
    they are published.

    Args:
        rows: One an item.
        seconds: Spent on each item that worked, by name.
        lora_seconds: Spent on the training of its LoRA, which one that is reused was, too.
    """
    done = [row for row in rows if not row.error]
    found = {"n": len(rows), "failed": len(rows) - len(done), **_means(done)}
    found["seconds_per_item"] = mean(seconds[row.name] for row in done)
    found["lora_seconds_per_item"] = mean(lora_seconds[row.name] for row in done)
    found["evaluations_per_item"] = mean(float(row.evaluations) for row in done)
    found["nonfinite"] = sum(row.nonfinite for row in done)
    kinds = sorted({row.kind for row in done if row.kind})
    if len(kinds) > 1:
        found["kinds"] = {kind: _kind([row for row in done if row.kind == kind]) for kind in kinds}
    return found


def summary_table(metrics: Mapping[str, Any]) -> str:
    """The numbers of :func:`drag_metrics` in Markdown: a row for all items, one for each kind."""
    columns = (*_COUNTS, *map(_column, DRAG_METRICS.values()), *_COSTS)
    shown = [column for column in columns if metrics.get(column.key) is not None]
    lines = []
    for name, part in {"all": metrics, **metrics.get("kinds", {})}.items():
        lines.append([name, *(_cell(column, part.get(column.key)) for column in shown)])
    return markdown_of_cells(["", *(column.header for column in shown)], lines, align_right=True)


def _kind(rows: Sequence[DragRow]) -> dict[str, Any]:
    return {"n": len(rows), **_means(rows)}


def _means(rows: Sequence[DragRow]) -> dict[str, float | None]:
    return {name: _mean(rows, metric) for name, metric in DRAG_METRICS.items()}


def _mean(rows: Sequence[DragRow], metric: Metric[MeasuredDrag]) -> float | None:
    values = [row.number(metric.name) for row in rows]
    if not metric.weight:
        return mean(values)
    weights = [getattr(row, metric.weight) for row in rows]
    total = math.fsum(value * weight for value, weight in zip(values, weights, strict=True))
    return total / sum(weights) if any(weights) else None


def _column(metric: Metric[MeasuredDrag]) -> Column:
    return Column(metric.title, metric.name, metric.digits, percent=metric.fraction)


def _cell(column: Column, value: float | None) -> str:
    return "" if value is None else column.written(value)
