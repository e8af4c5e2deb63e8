"""One study from its settings to its files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from i2i_dds.evaluation.summary import write_csv
from i2i_dds.evaluation.tables import markdown_table
from i2i_dds.research.studies.interface import StudyContext, StudyResult
from i2i_dds.research.studies.settings import Study, StudySettings
from i2i_dds.runs import replacing, write_image, write_json, write_text


def run_study(
    study: Study,
    settings: StudySettings,
    context: StudyContext,
    folder: Path,
    config: Mapping[str, Any],
) -> StudyResult:
    """Runs a study and writes table.csv, table.md, its figure, pictures and result.json.

    Args:
        study: Whose module runs.
        settings: What it asks.
        context: What it is given beside them.
        folder: Where to write.
        config: All settings of the command, for result.json.

    Raises:
        UserError: A setting is not allowed.
    """
    result = import_module(f"i2i_dds.research.studies.{study.module}").run(settings, context)
    columns = list(dict.fromkeys(name for line in result.lines for name in line))
    write_csv(folder / "table.csv", columns, map(dict, result.lines))
    write_text(folder / "table.md", markdown_table(result.shown, result.lines))
    if result.rows:
        write_csv(folder / "rows.csv", list(result.rows[0]), map(dict, result.rows))
    with replacing(folder / f"{context.name}.png") as partial:
        result.plot(partial)
    for name, picture in result.pictures.items():
        write_image(folder / f"{name}.png", picture)
    lines = "lines" if result.rows else "rows"  # as the files of each kind of study always had it
    write_json(folder / "result.json", {lines: result.lines, "config": config})
    return result
