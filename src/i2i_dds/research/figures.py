"""The figures of ``docs/analysis.md``, drawn from the numbers in ``docs/results``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from i2i_dds.research.plots import plot_lines
from i2i_dds.research.studies.settings import STUDIES, DescentSettings
from i2i_dds.runs import replacing

ACROSS = {
    "cosine": ("t", "pair", ("cosine",)),
    "gradients": ("t", "curve", ("norm", "between")),
}
"""Study -> the column across, the one whose values are lines, and the measures, a panel each."""


def draw_figures(results: Path, documents: Path) -> list[Path]:
    """Draws each study's figure again, as the study itself does.

    Args:
        results: Has ``analysis/<study>.csv``.
        documents: Gets ``analysis_<study>.png``.
    """
    drawn = []
    for name, (across, by, measures) in _panels().items():
        table = results / "analysis" / f"{name}.csv"
        if table.is_file():
            drawn.append(documents / f"analysis_{name}.png")
            with replacing(drawn[-1]) as partial:
                plot_lines(read_lines(table, by), across, by, measures, partial)
    return drawn


def read_lines(table: Path, by: str) -> list[dict[str, Any]]:
    """A csv file's lines as numbers, but for the column ``by``; an empty cell is NaN."""
    with table.open(encoding="utf-8", newline="") as file:
        return [
            {name: cell if name == by else float(cell or "nan") for name, cell in line.items()}
            for line in csv.DictReader(file)
        ]


def _panels() -> dict[str, tuple[str, str, Sequence[str]]]:
    descents = {
        name: ("iteration", "variant", study.full.measures)
        for name, study in STUDIES.items()
        if isinstance(study.full, DescentSettings)
    }
    return descents | ACROSS
