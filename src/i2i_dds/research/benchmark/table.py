"""From one row an edited picture to one row a setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from i2i_dds.evaluation.aggregate import Aggregate, MetricRow, aggregate
from i2i_dds.evaluation.tables import markdown_table

ALL = "all"
"""The edit of the rows that are means over all kinds of edit."""


def table(
    rows: Sequence[MetricRow], metrics: Sequence[str], pooled: bool = False
) -> list[dict[str, Any]]:
    """The means of every editor, kind of edit and strength, in the order of the rows.

    An editor that was asked for all kinds of edit also has a row of the edit "all" for each
    strength. "<metric>_spread" is the standard deviation of the seeds' means.

    Args:
        rows: With "editor", "edit", "strength" and "seed" beside the metrics.
        metrics: Columns to average; what no row has is NaN.
        pooled: Whether in "all" every picture counts the same, as in PIE-Bench's tables, or every
            kind of edit.
    """
    kinds = {row["edit"] for row in rows}
    settings: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for group in aggregate(rows, ("editor", "strength", "edit"), metrics):
        editor, strength, edit = group.key
        settings.setdefault((editor, strength), []).append(_line(editor, edit, strength, group))
    found = []
    parts = None if pooled else "edit"
    for total in aggregate(rows, ("editor", "strength"), metrics, parts=parts):
        editor, strength = total.key
        lines = settings[editor, strength]
        found += lines
        if len(lines) == len(kinds):
            found.append(_line(editor, ALL, strength, total))
    return found


def _line(editor: str, edit: str, strength: float | None, group: Aggregate) -> dict[str, Any]:
    line = {"editor": editor, "edit": edit, "strength": strength, "n": group.n, **group.means}
    return line | {f"{name}_spread": value for name, value in group.spreads.items()}


def main_rows(lines: Sequence[MetricRow], main: Mapping[str, float | None]) -> list[MetricRow]:
    """The lines of each editor's main strength.

    Args:
        lines: Of :func:`table`.
        main: Editor -> its main strength, None where it has none.
    """
    return [line for line in lines if line["strength"] == main[line["editor"]]]


def summary(
    lines: Sequence[MetricRow],
    metrics: Sequence[str],
    spread: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
) -> str:
    """Markdown of the means over all edits: a line an editor that was asked for all of them.

    Args:
        lines: Of one strength for each editor.
        metrics: Columns to show; one that no line has is left out.
        spread: Those to show with the standard deviation over seeds.
        units: Of some of them, for the header.
    """
    totals = [line for line in lines if line["edit"] == ALL]
    shown = [name for name in metrics if any(_known(line[name]) for line in totals)]
    named = units or {}
    headers = {name: f"{name} ({named[name]})" if name in named else name for name in shown}
    cells = [
        {
            "editor": line["editor"],
            "strength": line["strength"],
            "n": line["n"],
            **{headers[name]: _cell(line, name, name in spread) for name in shown},
        }
        for line in totals
    ]
    return markdown_table(["editor", "strength", "n", *headers.values()], cells)


def by_edit(lines: Sequence[MetricRow], metric: str) -> str:
    """Markdown of one metric: a line an editor, a column a kind of edit."""
    edits = list(dict.fromkeys(line["edit"] for line in lines))
    editors: dict[str, dict[str, Any]] = {}
    for line in lines:
        editors.setdefault(line["editor"], {"editor": line["editor"]})[line["edit"]] = line[metric]
    return markdown_table(["editor", *edits], list(editors.values()))


def _known(value: Any) -> bool:
    return value is not None and not math.isnan(value)


def _cell(line: MetricRow, name: str, spread: bool) -> Any:
    value, around = line[name], line[f"{name}_spread"]
    if spread and _known(value) and _known(around):
        return f"{value:.3g} ± {around:.1g}" if around < 9.5 else f"{value:.3g} ± {around:.0f}"
    return value
