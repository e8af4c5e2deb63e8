"""Tables of measured numbers, made from the json files that the commands wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i_dds.errors import UserError

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


@dataclass(frozen=True)
class Column:
    """A number of the json files: its header, its key, and how it is written.

    Attributes:
        header: What the table calls it.
        key: Its key; dots lead into nested objects.
        digits: After the point.
        percent: Whether a fraction is written in percent.
    """

    header: str
    key: str
    digits: int = 1
    percent: bool = False


@dataclass(frozen=True)
class Table:
    """One table: a title and, for each row, a name and the folder its json files are in."""

    title: str
    rows: Sequence[tuple[str, str]]
    columns: Sequence[Column]

    def markdown(self, results: Path) -> str:
        """The table; rows without files are left out, and so is a table without rows."""
        lines = []
        for name, folder in self.rows:
            runs = [_read(path) for path in sorted((results / folder).glob("*.json"))]
            if runs:
                cells = [_cell([_value(run, c.key) for run in runs], c) for c in self.columns]
                lines.append(f"| {name} | {len(runs)} | " + " | ".join(cells) + " |")
        if not lines:
            return ""
        header = "| | runs | " + " | ".join(c.header for c in self.columns) + " |"
        rule = "|---|" + "---:|" * (len(self.columns) + 1)
        return "\n".join([f"**{self.title}**", "", header, rule, *lines])


def markdown(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as they are, numbers to four digits; what a row has not is a dash."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return "–" if math.isnan(value) else f"{value:.4g}"
        return "–" if value is None else str(value)

    lines = [[cell(row.get(column)) for column in columns] for row in rows]
    table = [list(columns), ["---"] * len(columns), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in table)


def filled(text: str, tables: Sequence[Table], results: Path) -> str:
    """`text` with what stands between its two markers replaced by the tables.

    Raises:
        UserError: The markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"readme: its markers are missing; it needs '{BEGIN}' and '{END}'")
    made = [table.markdown(results) for table in tables]
    body = "\n\n".join(part for part in made if part)
    return f"{before}{BEGIN}\n{body}\n{END}{after}" if body else f"{before}{BEGIN}\n{END}{after}"


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"results: '{path}' is no json file of a run; remove it") from error


def _value(run: dict, key: str) -> float | None:
    found: object = run
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return float(found) if isinstance(found, (int, float)) else None


def _cell(values: Sequence[float | None], column: Column) -> str:
    """The mean and, of several runs, the sample standard deviation."""
    known = [v * (100 if column.percent else 1) for v in values if v is not None]
    if not known:
        return "–"
    mean = math.fsum(known) / len(known)
    unit = " %" if column.percent else ""
    if len(known) == 1:
        return f"{mean:.{column.digits}f}{unit}"
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in known) / (len(known) - 1))
    return f"{mean:.{column.digits}f} ± {spread:.{column.digits}f}{unit}"
