"""What a benchmark's rows come to: tables, the frontier and the contact sheets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i_dds.cli.benchmark_data import Benchmark, Scenes


def write_summary(
    folder: Path,
    data: Benchmark,
    main: Mapping[str, float],
    rows: Sequence[Mapping[str, Any]],
    curve: Sequence[Mapping[str, Any]],
    scenes: Mapping[str, Scenes],
    pictures: int,
) -> None:
    """Writes them beside the rows.

    Args:
        folder: The run's.
        data: What was measured.
        main: Editor -> the strength that stands for it; NaN of one that has none.
        rows: One an edited picture, their numbers as JSON has them.
        curve: Those of them that are of every strength; the frontier is theirs alone, so that all
            of its points are of the same scenes.
        scenes: By kind of edit, of the seed whose pictures were kept.
        pictures: How many of each kind are shown.
    """
    from i2i_dds.evaluation.summary import write_csv
    from i2i_dds.research.benchmark.pictures import frontier
    from i2i_dds.research.benchmark.table import by_edit, main_rows, summary, table
    from i2i_dds.runs import replacing, write_json, write_text

    write_csv(folder / "rows.csv", list(rows[0]), map(dict, rows))
    lines = table(rows, data.metrics, data.pooled)
    write_csv(folder / "table.csv", list(lines[0]), lines)
    shown = main_rows(lines, {name: None if math.isnan(v) else v for name, v in main.items()})
    parts = [summary(shown, data.metrics, data.spread, data.units)]
    parts += [f"**{name}**\n\n{by_edit(shown, name)}" for name in data.by_edit]
    write_text(folder / "table.md", "\n".join(parts))
    points = table(curve or rows, data.metrics, data.pooled)
    with replacing(folder / "frontier.png") as partial:
        frontier(points, data.axes, partial)
    for edit in data.edits:  # in these a student of one task has its place
        with replacing(folder / "frontiers" / f"{edit}.png") as partial:
            frontier(points, data.axes, partial, edit)
    _sheets(folder, list(main), scenes, pictures)
    write_json(folder / "table.json", {"main": shown, "lines": lines})
    _report(summary(shown, data.printed, units=data.units))


def _sheets(
    folder: Path, editors: Sequence[str], scenes: Mapping[str, Scenes], pictures: int
) -> None:
    """Pictures of each kind of edit, and one of every kind in one sheet: each another scene."""
    from i2i_dds.research.benchmark.pictures import contact_sheet
    from i2i_dds.runs import write_image

    captions = {}
    for edit, there in scenes.items():
        first = [there.read(number) for number in range(min(pictures, len(there.names)))]
        captions[edit] = {scene["key"]: scene["target"] for scene in first}
    sheets = {f"sheets/{edit}": shown for edit, shown in captions.items()}
    turns = [list(shown.items()) for shown in captions.values() if shown]
    sheets["gallery"] = dict(shown[turn % len(shown)] for turn, shown in enumerate(turns))
    for name, shown in sheets.items():
        sheet = contact_sheet(folder / "pictures", editors, shown)
        if sheet is not None:
            write_image(folder / f"{name}.png", sheet)


def _report(table: str) -> None:
    """The table, for a person, on standard error; as it is where it would not fit."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(stderr=True)
    if max(map(len, table.splitlines())) <= console.width:
        console.print(Markdown(table))
    else:
        console.print(table, soft_wrap=True, markup=False, highlight=False)
