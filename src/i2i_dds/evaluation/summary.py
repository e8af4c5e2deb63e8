"""All edits of a run: their means, their rows, and the runs of several processes put together."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from i2i_dds.evaluation.measure import Row, mean
from i2i_dds.runs import write_text

_MEANS = (
    "success",
    "psnr_truth",
    "psnr_truth_source",
    "psnr_truth_source_recon",
    "psnr_backdrop",
    "sharpness",
    "sharpness_source",
)


@dataclass(frozen=True)
class Evaluation:
    """Rows and what was counted while they were made.

    Attributes:
        rows: One an edit.
        nonfinite: Gradient entries that were NaN or infinite.
    """

    rows: tuple[Row, ...]
    nonfinite: int = 0

    @classmethod
    def merge(cls, parts: Iterable[Evaluation]) -> Evaluation:
        """The parts of several processes as one, in the order of the keys, each item once."""
        parts = list(parts)
        rows = {(row.key, row.task): row for part in parts for row in part.rows}
        nonfinite = sum(part.nonfinite for part in parts)
        return cls(tuple(rows[name] for name in sorted(rows)), nonfinite)

    def metrics(self) -> dict[str, Any]:
        """The means over all rows, and under "tasks" those of each task where there are several.

        Decibels are averaged as such: the mean of each picture's PSNR, not the PSNR of the mean
        error. A number that no row has is None.
        """
        by_task = {row.task: [] for row in self.rows}
        for row in self.rows:
            by_task[row.task].append(row)
        found = {**_means(self.rows), "nonfinite": self.nonfinite}
        if len(by_task) > 1:
            found["tasks"] = {name: _means(rows) for name, rows in by_task.items()}
        return found

    def write_csv(self, path: str | Path) -> None:
        """One line a row; a number that is missing is empty."""
        write_csv(path, [field.name for field in fields(Row)], (asdict(row) for row in self.rows))


def write_csv(path: str | Path, columns: Sequence[str], lines: Iterable[dict[str, Any]]) -> None:
    """A table with a header; NaN and None are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({name: _cell(value) for name, value in line.items()})
    write_text(path, text.getvalue())


def _means(rows: Sequence[Row]) -> dict[str, Any]:
    found: dict[str, Any] = {"n": len(rows)}
    found |= {name: mean([getattr(row, name) for row in rows]) for name in _MEANS}
    found["psnr_truth_gain"] = mean([row.psnr_truth - row.psnr_truth_source for row in rows])
    found["seconds_per_image"] = mean([row.seconds for row in rows])
    return found


def _cell(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value
