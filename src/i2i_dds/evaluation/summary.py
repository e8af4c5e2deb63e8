"""All edits of a run: their means, their rows, and the runs of several processes put together."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i_dds.evaluation.aggregate import aggregate
from i2i_dds.evaluation.measure import EditRow
from i2i_dds.evaluation.metric import METRICS
from i2i_dds.runs import write_text


@dataclass(frozen=True)
class Evaluation:
    """Rows and what was counted while they were made.

    Attributes:
        rows: One an edit.
        nonfinite: Gradient entries that were NaN or infinite.
    """

    rows: tuple[EditRow, ...]
    nonfinite: int = 0

    @classmethod
    def merge(cls, parts: Iterable[Evaluation]) -> Evaluation:
        """The parts of several processes as one, in the order of the keys, each item once."""
        parts = list(parts)
        rows = {(row.key, row.task): row for part in parts for row in part.rows}
        nonfinite = sum(part.nonfinite for part in parts)
        return cls(tuple(rows[name] for name in sorted(rows)), nonfinite)

    @property
    def names(self) -> list[str]:
        """The metrics that the rows have."""
        return list(dict.fromkeys(name for row in self.rows for name in row.values))

    def metrics(self) -> dict[str, Any]:
        """The means over all rows, and under "tasks" those of each task where there are several.

        Decibels are averaged as such: the mean of each picture's PSNR, not the PSNR of the mean
        error. A number that no row has is None.
        """
        rows = [{"task": row.task, "seconds": row.seconds, **row.values} for row in self.rows]
        found = {**_means(rows, (), self.names).get((), {"n": 0}), "nonfinite": self.nonfinite}
        by_task = _means(rows, ("task",), self.names)
        if len(by_task) > 1:
            found["tasks"] = {task: means for (task,), means in by_task.items()}
        return found

    def write_csv(self, path: str | Path) -> None:
        """One line a row; a number that is missing is empty, and one that is derived left out."""
        written = [name for name in self.names if name not in METRICS or not METRICS[name].derived]
        lines = [
            {"key": row.key, "task": row.task}
            | {name: row[name] for name in written}
            | {"seconds": row.seconds}
            for row in self.rows
        ]
        write_csv(path, ["key", "task", *written, "seconds"], lines)


def write_csv(path: str | Path, columns: Sequence[str], lines: Iterable[dict[str, Any]]) -> None:
    """A table with a header; NaN and None are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: _cell(value) for name, value in line.items()})
    write_text(path, text.getvalue())


def _means(
    rows: Sequence[Mapping[str, Any]], by: Sequence[str], names: Sequence[str]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Means by the values of some columns; None of what no row has."""
    found = {}
    for group in aggregate(rows, by, [*names, "seconds"], seed=None):
        means = {name: None if math.isnan(v) else v for name, v in group.means.items()}
        means["seconds_per_image"] = means.pop("seconds")
        found[group.key] = {"n": group.n, **means}
    return found


def _cell(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value
