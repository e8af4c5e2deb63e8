"""From one row an edited picture to one row a setting."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from i2i_dds.evaluation.measure import mean
from i2i_dds.evaluation.tables import markdown

Row = Mapping[str, Any]
ALL = "all"
"""The edit of the rows that are means over all kinds of edit."""


def table(
    rows: Sequence[Row], metrics: Sequence[str], pooled: bool = False
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
    groups: dict[tuple[Any, ...], list[Row]] = {}
    kinds = {row["edit"] for row in rows}
    for row in rows:
        groups.setdefault((row["editor"], row["strength"], row["edit"]), []).append(row)
    settings: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for (editor, strength, edit), group in groups.items():
        line = {"editor": editor, "edit": edit, "strength": strength, "n": len(group)}
        line |= _means([group], metrics)
        settings.setdefault((editor, strength), []).append(line)
    found = []
    for (editor, strength), lines in settings.items():
        parts = [groups[editor, strength, line["edit"]] for line in lines]
        total = {"editor": editor, "edit": ALL, "strength": strength}
        whole = [[row for part in parts for row in part]] if pooled else parts
        total |= {"n": sum(line["n"] for line in lines), **_means(whole, metrics)}
        found += [*lines, total] if len(lines) == len(kinds) else lines
    return found


def main_rows(lines: Sequence[Row], main: Mapping[str, float | None]) -> list[Row]:
    """The lines of each editor's main strength.

    Args:
        lines: Of :func:`table`.
        main: Editor -> its main strength, None where it has none.
    """
    return [line for line in lines if line["strength"] == main[line["editor"]]]


def summary(
    lines: Sequence[Row],
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
    return markdown(["editor", "strength", "n", *headers.values()], cells)


def by_edit(lines: Sequence[Row], metric: str) -> str:
    """Markdown of one metric: a line an editor, a column a kind of edit."""
    edits = list(dict.fromkeys(line["edit"] for line in lines))
    editors: dict[str, dict[str, Any]] = {}
    for line in lines:
        editors.setdefault(line["editor"], {"editor": line["editor"]})[line["edit"]] = line[metric]
    return markdown(["editor", *edits], list(editors.values()))


def _means(parts: Sequence[Sequence[Row]], metrics: Sequence[str]) -> dict[str, Any]:
    """Means and spreads; each part counts the same."""
    seeds = sorted({row["seed"] for part in parts for row in part})
    found: dict[str, Any] = {name: _mean_of_parts(parts, name) for name in metrics}
    for name in metrics:
        each = [
            _mean_of_parts([[row for row in part if row["seed"] == seed] for part in parts], name)
            for seed in seeds
        ]
        known = [value for value in each if _known(value)]
        found[f"{name}_spread"] = statistics.stdev(known) if len(known) > 1 else float("nan")
    return found


def _mean_of_parts(parts: Sequence[Sequence[Row]], name: str) -> float:
    means = [mean([_number(row.get(name)) for row in part]) for part in parts]
    known = [value for value in means if value is not None]
    return math.fsum(known) / len(known) if known else float("nan")


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _known(value: Any) -> bool:
    return value is not None and not math.isnan(value)


def _cell(line: Row, name: str, spread: bool) -> Any:
    value, around = line[name], line[f"{name}_spread"]
    if spread and _known(value) and _known(around):
        return f"{value:.3g} ± {around:.1g}" if around < 9.5 else f"{value:.3g} ± {around:.0f}"
    return value
