"""How far a method is ahead of another where both keep as much of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from i2i_dds.evaluation.aggregate import MetricRow, over_seeds
from i2i_dds.research.benchmark.table import table


def lead(
    rows: Sequence[MetricRow], reference: str, across: str, upwards: str, pooled: bool = False
) -> list[dict[str, Any]]:
    """By method, kind of edit and strength: its ``upwards`` minus the reference's.

    The reference's is read off its trade-off curve, on the line between two of its points, where
    its ``across`` is the method's. Each seed has a curve of its own. A seed in which the curve does
    not reach there is left out, so that ``seeds`` may be fewer than there are.

    Args:
        rows: As :func:`i2i_dds.research.benchmark.table.table` takes them.
        reference: The method that the others are compared with.
        across: The column that is the same, such as "psnr_backdrop".
        upwards: The column that is compared, such as "psnr_truth_gain".
        pooled: See there.

    Returns:
        Lines with "editor", "edit", "strength", "seeds", and means and "_spread" of "lead" and
        ``across`` over seeds; none without at least two points of the reference.
    """
    found: list[dict[str, Any]] = []
    for seed in dict.fromkeys(row["seed"] for row in rows):
        of_seed = [row for row in rows if row["seed"] == seed]
        lines = table(of_seed, [across, upwards], pooled)
        for line in lines:
            curve = sorted(
                (other[across], other[upwards])
                for other in lines
                if other["editor"] == reference and other["edit"] == line["edit"]
                if math.isfinite(other[across]) and math.isfinite(other[upwards])
            )
            if line["editor"] == reference or len(curve) < 2:
                continue
            if not curve[0][0] <= line[across] <= curve[-1][0]:
                continue
            there = float(np.interp(line[across], *np.transpose(curve)))
            key = {name: line[name] for name in ("editor", "edit", "strength")}
            found.append({**key, "lead": line[upwards] - there, across: line[across]})
    found.sort(key=lambda row: [row["editor"] != one for one in _order(rows)])
    return over_seeds(found, ("editor", "edit", "strength"), ("lead", across))


def _order(rows: Sequence[MetricRow]) -> list[str]:
    return list(dict.fromkeys(row["editor"] for row in rows))
