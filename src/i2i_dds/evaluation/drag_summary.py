"""A benchmark of drags in a few numbers: its means, and the table of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from i2i_dds.evaluation.drags import DragRow

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

_COLUMNS = {
    "n": "items",
    "failed": "failed",
    "arrived": "arrived",
    "arrived_source": "arrived, source",
    "within_cell": "most alike within a cell",
    "score": "correlation there",
    "psnr_truth": "PSNR to truth, dB",
    "psnr_truth_source": "of the source, dB",
    "psnr_source": "PSNR to source, dB",
    "image_fidelity": "image fidelity",
    "md_dragdiffusion": "distance, DragDiffusion's, px",
    "md_regiondrag": "distance, RegionDrag's, x 100",
    "seconds_per_item": "seconds an item",
    "lora_seconds_per_item": "and for its LoRA",
    "evaluations_per_item": "UNet evaluations an item",
}
_PERCENT = ("arrived", "arrived_source", "within_cell")
_DIGITS = {"n": 0, "failed": 0, "evaluations_per_item": 0, "image_fidelity": 3, "score": 2}


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
    found["seconds_per_item"] = _mean(seconds[row.name] for row in done)
    found["lora_seconds_per_item"] = _mean(lora_seconds[row.name] for row in done)
    found["evaluations_per_item"] = _mean(float(row.evaluations) for row in done)
    found["nonfinite"] = sum(row.nonfinite for row in done)
    kinds = sorted({row.kind for row in done if row.kind})
    if len(kinds) > 1:
        found["kinds"] = {kind: _kind([row for row in done if row.kind == kind]) for kind in kinds}
    return found


def summary_table(metrics: Mapping[str, Any]) -> str:
    """The numbers of :func:`drag_metrics` in Markdown: a row for all items, one for each kind."""
    shown = [key for key in _COLUMNS if metrics.get(key) is not None]
    lines = ["| | " + " | ".join(_COLUMNS[key] for key in shown) + " |"]
    lines += ["|---|" + "---:|" * len(shown)]
    parts = {"all": metrics, **metrics.get("kinds", {})}
    for name, part in parts.items():
        cells = " | ".join(_cell(key, part.get(key)) for key in shown)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


def _kind(rows: Sequence[DragRow]) -> dict[str, Any]:
    return {"n": len(rows), **_means(rows)}


def _means(rows: Sequence[DragRow]) -> dict[str, float | None]:
    found = {name: _mean(getattr(row, name) for row in rows) for name in _MEANS}
    pairs = sum(row.pairs for row in rows)
    pooled = math.fsum(row.md_dragdiffusion * row.pairs for row in rows)
    found["md_dragdiffusion"] = pooled / pairs if pairs else None
    found["md_regiondrag"] = _mean(row.md_regiondrag for row in rows)
    return found


def _mean(values: Iterable[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else None


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.0f} %" if key in _PERCENT else f"{value:.{_DIGITS.get(key, 1)}f}"
