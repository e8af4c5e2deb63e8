"""Rows as a Markdown table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def markdown(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as they are, numbers to four digits; what a row has not is a dash."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "–" if math.isnan(value) else f"{value:.4g}"
        return "–" if value is None else str(value)

    lines = [[cell(row.get(column)) for column in columns] for row in rows]
    table = [list(columns), ["---"] * len(columns), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in table)
