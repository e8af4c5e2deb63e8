"""Tables of measured numbers, made from the files that the commands wrote."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from i2i_dds.errors import UserError
from i2i_dds.evaluation.aggregate import mean, spread
from i2i_dds.evaluation.tables import UNKNOWN, markdown_of_cells
from i2i_dds.evaluation.tables import Column as NumberColumn

_MARKED = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


@dataclass(frozen=True)
class Column(NumberColumn):
    """A number of the files.

    Attributes:
        key: In json files dots lead into nested objects.
        where: Of a csv file, what its line has in other columns, beside what the row says.
        spread: Of a csv file, whether "<key>_spread" is written too.
    """

    where: Mapping[str, Any] = field(default_factory=dict)
    spread: bool = False


class Table(Protocol):
    """What :func:`filled` puts in."""

    def markdown(self, results: Path) -> str:
        """The table, from the files under ``results``."""
        ...


@dataclass(frozen=True)
class Runs:
    """Means over runs: for each row a name and the folder that its json files are in.

    Attributes:
        title: Stands above it, unless it is empty.
        rows: Name -> folder.
        columns: Of the json files.
    """

    title: str
    rows: Mapping[str, str]
    columns: Sequence[Column]

    def markdown(self, results: Path) -> str:
        """The table; rows without files are left out, and so is a table without rows."""
        lines = []
        for name, folder in self.rows.items():
            runs = [_read(path) for path in sorted((results / folder).glob("*.json"))]
            if runs:
                cells = [_mean([_value(run, c.key) for run in runs], c) for c in self.columns]
                lines.append([name, str(len(runs)), *cells])
        headers = ["", "runs", *(c.header for c in self.columns)]
        return _drawn(headers, lines, self.title) if lines else ""


@dataclass(frozen=True)
class Lines:
    """Some lines of a csv file, their numbers as they are.

    Attributes:
        file: The csv file.
        rows: Name -> what its lines have in which columns.
        columns: Of the csv file; each may say more of its line.
        where: What all lines have.
        title: Stands above it, unless it is empty.
    """

    file: str
    rows: Mapping[str, Mapping[str, Any]]
    columns: Sequence[Column]
    where: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    def markdown(self, results: Path) -> str:
        """The table; a number that the file has not is a dash.

        Raises:
            UserError: There is no such file or column, or more than one line for a number.
        """
        path = results / self.file
        try:
            with path.open(encoding="utf-8", newline="") as opened:
                found = list(csv.DictReader(opened))
        except OSError as error:
            raise UserError(f"results: '{path}' is not there; give a folder that has it") from error
        lines = [
            [name, *(_number({**self.where, **row, **c.where}, c, found) for c in self.columns)]
            for name, row in self.rows.items()
        ]
        return _drawn(["", *(c.header for c in self.columns)], lines, self.title)


def filled(text: str, tables: Mapping[str, Table], results: Path) -> str:
    """`text` with what stands between its markers replaced by the tables that they name.

    Markers are comments, ``<!-- table: name -->`` and ``<!-- end of table -->``.

    Args:
        text: Markdown.
        tables: By name.
        results: The folder of their files.

    Raises:
        UserError: A marker names no table, or has no end.
    """
    for name in re.findall(r"<!-- table: (.*?) -->", text):
        if name not in tables:
            raise UserError(f"tables: {name!r} is not there; give one of {', '.join(tables)}")
    if text.count("<!-- table: ") != len(_MARKED.findall(text)):
        raise UserError("documents: a table's marker has no '<!-- end of table -->'; give it one")

    def table(found: re.Match[str]) -> str:
        body = tables[found[2]].markdown(results)
        return f"{found[1]}{body}\n{found[4]}" if body else f"{found[1]}{found[4]}"

    return _MARKED.sub(table, text)


def _drawn(headers: Sequence[str], lines: Sequence[Sequence[str]], title: str) -> str:
    above = f"**{title}**\n\n" if title else ""
    return above + markdown_of_cells(headers, lines, align_right=True).rstrip("\n")


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


def _number(wanted: Mapping[str, Any], column: Column, lines: Sequence[Mapping[str, str]]) -> str:
    """That of the only line that has what is wanted."""
    for name in (*wanted, column.key):
        if lines and name not in lines[0]:
            known = ", ".join(lines[0])
            raise UserError(f"columns: {name!r} is not in the file; give one of {known}")
    found = [
        line for line in lines if all(line[name] == str(value) for name, value in wanted.items())
    ]
    if len(found) > 1:
        raise UserError(f"rows: {dict(wanted)} are {len(found)} lines; say which")
    value = found[0][column.key] if found else ""
    if not value:
        return UNKNOWN
    around = found[0].get(f"{column.key}_spread") if column.spread else None
    return column.written(float(value), float(around) if around else None)


def _mean(values: Sequence[float | None], column: Column) -> str:
    """The mean and, of several runs, the sample standard deviation."""
    found = mean(values)
    return UNKNOWN if found is None else column.written(found, spread(values))
