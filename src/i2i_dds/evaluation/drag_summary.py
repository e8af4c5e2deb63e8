"""A benchmark of drags in a few numbers: its means, and the table of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from i2i_dds.evaluation.aggregate import mean
from i2i_dds.evaluation.drags import DragRow
from i2i_dds.evaluation.tables import markdown, number

_MEANS = (
    "arrived",
    "arrived_source",
    "within_cell",
    "score",
    "psnr_truth",
    "psnr_truth_source",
    "psnr_source",
    "outside_equal",
    "image_fidelity",
)


@dataclass(frozen=True)
class _Column:
    header: str
    digits: int = 1
    percent: bool = False


_COLUMNS = {
    "n": _Column("items", 0),
    "failed": _Column("failed", 0),
    "arrived": _Column("arrived", 0, percent=True),
    "arrived_source": _Column("arrived, source", 0, percent=True),
    "within_cell": _Column("most alike within a cell", 0, percent=True),
    "score": _Column("correlation there", 2),
    "psnr_truth": _Column("PSNR to truth, dB"),
    "psnr_truth_source": _Column("of the source, dB"),
    "psnr_source": _Column("PSNR to source, dB"),
    "image_fidelity": _Column("image fidelity", 3),
    "md_dragdiffusion": _Column("distance, DragDiffusion's, px"),
    "md_regiondrag": _Column("distance, RegionDrag's, x 100"),
    "seconds_per_item": _Column("seconds an item"),
    "lora_seconds_per_item": _Column("and for its LoRA"),
    "evaluations_per_item": _Column("UNet evaluations an item", 0),
}


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
    shown = [key for key in _COLUMNS if metrics.get(key) is not None]
    lines = []
    for name, part in {"all": metrics, **metrics.get("kinds", {})}.items():
        lines.append([name, *(_cell(_COLUMNS[key], part.get(key)) for key in shown)])
    return markdown(["", *(_COLUMNS[key].header for key in shown)], lines, align_right=True)


def _kind(rows: Sequence[DragRow]) -> dict[str, Any]:
    return {"n": len(rows), **_means(rows)}


def _means(rows: Sequence[DragRow]) -> dict[str, float | None]:
    found = {name: mean(getattr(row, name) for row in rows) for name in _MEANS}
    pairs = sum(row.pairs for row in rows)
    pooled = math.fsum(row.md_dragdiffusion * row.pairs for row in rows)
    found["md_dragdiffusion"] = pooled / pairs if pairs else None
    found["md_regiondrag"] = mean(row.md_regiondrag for row in rows)
    return found


def _cell(column: _Column, value: float | None) -> str:
    return "" if value is None else number(value, column.digits, percent=column.percent)
