"""Markdown tables, and numbers as they stand in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNKNOWN = "–"
"""What stands for a number that is not there."""


@dataclass(frozen=True)
class Column:
    """A number of rows: its header, its key, and how it is written.

    Attributes:
        header: What the table calls it.
        key: Its key.
        digits: After the point.
        percent: Whether a fraction is written in percent.
    """

    header: str
    key: str
    digits: int = 1
    percent: bool = False

    def written(self, value: float, spread: float | None = None) -> str:
        """A value as text, with its standard deviation where that is known."""
        scale, unit = (100, " %") if self.percent else (1, "")
        around = "" if spread is None else f" ± {spread * scale:.{self.digits}f}"
        return f"{value * scale:.{self.digits}f}{around}{unit}"


def markdown_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table; numbers have four significant digits, what a row has not is a dash."""
    return markdown_of_cells(columns, [[row.get(column) for column in columns] for row in rows])


def markdown_of_cells(
    headers: Sequence[str], lines: Sequence[Sequence[Any]], *, align_right: bool = False
) -> str:
    """A table, each line of which ends with a newline.

    Args:
        headers: Of the columns.
        lines: A cell for each header. Words stay as they are, numbers have four significant digits,
            None and NaN are dashes.
        align_right: Whether all columns but the first, which is of names, are.
    """
    rule = ["---", *["---:"] * (len(headers) - 1)] if align_right else [" --- "] * len(headers)
    cells = [[_padded(_cell(value)) for value in line] for line in (headers, *lines)]
    return "".join(f"|{'|'.join(line)}|\n" for line in (cells[0], rule, *cells[1:]))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return UNKNOWN if math.isnan(value) else f"{value:.4g}"
    return UNKNOWN if value is None else str(value)


def _padded(cell: str) -> str:
    return f" {cell} " if cell else " "
