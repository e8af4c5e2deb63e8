"""What a benchmark's rows come to: tables, the trade-off curve and the contact sheets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from i2i_dds.evaluation.summary import write_csv
from i2i_dds.research.benchmark import pictures as plots
from i2i_dds.research.benchmark.lead import lead
from i2i_dds.research.benchmark.sets import BenchmarkSet, Scenes
from i2i_dds.research.benchmark.table import by_edit, main_rows, summary, table
from i2i_dds.runs import replacing, write_image, write_json, write_text

REFERENCE = "dds"
"""What ``lead.csv`` compares the others with, where it was asked for."""


def write_summary(
    folder: Path,
    data: BenchmarkSet,
    main: Mapping[str, float],
    rows: Sequence[Mapping[str, Any]],
    curve: Sequence[Mapping[str, Any]],
    scenes: Mapping[str, Scenes],
    pictures: int,
) -> str:
    """Writes them beside the rows, and returns the table that a person sees, as Markdown.

    Args:
        folder: The run's.
        data: What was measured.
        main: Method -> the value that stands for it; NaN of one that sweeps none.
        rows: One an edited picture, their numbers as JSON has them.
        curve: Those of them that are of every value; the trade-off curve is theirs alone, so that
            all of its points are of the same scenes.
        scenes: By kind of edit, of the seed whose pictures were kept.
        pictures: How many of each kind are shown.
    """
    columns = dict.fromkeys(name for row in rows for name in row)  # later ones may have more
    write_csv(folder / "rows.csv", list(columns), map(dict, rows))
    lines = table(rows, data.metrics, data.pooled)
    write_csv(folder / "table.csv", list(lines[0]), lines)
    shown = main_rows(lines, {name: None if math.isnan(v) else v for name, v in main.items()})
    parts = [summary(shown, data.metrics, data.spread, data.units)]
    parts += [f"**{name}**\n\n{by_edit(shown, name)}" for name in data.by_edit]
    write_text(folder / "table.md", "\n".join(parts))
    points = table(curve or rows, data.metrics, data.pooled)
    if REFERENCE in main:
        across, upwards, _ = data.axes[-1]
        ahead = lead(curve or rows, REFERENCE, across, upwards, data.pooled)
        columns = ["editor", "edit", "strength", "seeds", "lead", "lead_spread"]
        columns += [across, f"{across}_spread"]
        write_csv(folder / "lead.csv", columns, ahead)
    with replacing(folder / "frontier.png") as partial:
        plots.frontier(points, data.axes, partial)
    for edit in data.edits:  # in these a student of one task has its place
        with replacing(folder / "frontiers" / f"{edit}.png") as partial:
            plots.frontier(points, data.axes, partial, edit)
    _sheets(folder, list(main), scenes, pictures)
    write_json(folder / "table.json", {"main": shown, "lines": lines})
    return summary(shown, data.printed, units=data.units)


def _sheets(
    folder: Path, editors: Sequence[str], scenes: Mapping[str, Scenes], pictures: int
) -> None:
    """Pictures of each kind of edit, and one of every kind in one sheet: each another scene."""
    captions = {}
    for edit, there in scenes.items():
        first = [there.read(number) for number in range(min(pictures, len(there.names)))]
        captions[edit] = {scene["key"]: scene["target"] for scene in first}
    sheets = {f"sheets/{edit}": shown for edit, shown in captions.items()}
    turns = [list(shown.items()) for shown in captions.values() if shown]
    sheets["gallery"] = dict(shown[turn % len(shown)] for turn, shown in enumerate(turns))
    for name, shown in sheets.items():
        sheet = plots.contact_sheet(folder / "pictures", editors, shown)
        if sheet is not None:
            write_image(folder / f"{name}.png", sheet)
