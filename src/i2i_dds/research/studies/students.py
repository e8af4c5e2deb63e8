"""What makes a student good: runs of ``train.py`` compared by what each measured at its end.

The trainings are ordinary ones, swept or typed one by one::

    python train.py -m task=cat2lion score=dds,sds seed=0,1
    python train.py -m task=cat2lion guidance.fraction=0 seed=0,1
    python scripts/study.py study=student runs=multirun/train

A run is called after what was typed for it and not for all, its seed left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from i2i_dds.errors import UserError
from i2i_dds.evaluation.aggregate import over_seeds
from i2i_dds.evaluation.metric import ranking_metrics
from i2i_dds.research.plots import plot_bars
from i2i_dds.research.studies.interface import StudyContext, StudyResult
from i2i_dds.research.studies.settings import StudentSettings

DEFAULT = "as shipped"
"""What a run is called for which nothing particular was typed."""

_NOT_NAMED = ("seed", "hydra", "paths")


def compared_numbers() -> tuple[str, ...]:
    """What is read of each run."""
    return (*ranking_metrics(), "collapse", "images_per_second")


def run(settings: StudentSettings, context: StudyContext) -> StudyResult:
    """Reads every finished run.

    Raises:
        UserError: No run is given or found, one did not learn the task, or ``measures`` names
            what is not measured.
    """
    compared = compared_numbers()
    for name in settings.measures:
        if name not in compared:
            known = ", ".join(compared)
            raise UserError(f"measures: {name!r} is not allowed; give some of {known}")
    if settings.runs is None:
        raise UserError("runs: none are given; give folders of train.py's runs, or of its sweeps")
    runs = read_runs(settings.runs)
    names = call_runs([metrics["overrides"] for _, metrics in runs])
    (task,) = context.tasks.names if len(context.tasks) == 1 else (None,)
    rows = []
    for name, (folder, metrics) in zip(names, runs, strict=True):
        measured = _of_task(folder, metrics, task)
        numbers = {key: measured.get(key) for key in compared}
        known = {key: float("nan") if n is None else n for key, n in numbers.items()}
        rows.append({"variant": name, "seed": _seed(metrics["overrides"]), **known})
        context.on_progress(len(rows), len(runs))
    lines = over_seeds(rows, ("variant",), compared)
    return StudyResult(
        lines=lines,
        shown=("variant", *settings.measures),
        plot=partial(plot_bars, lines, "variant", settings.measures),
        rows=rows,
    )


def read_runs(folders: Sequence[str]) -> list[tuple[Path, dict[str, Any]]]:
    """The metrics.json of every run in or below the folders, in the order of their paths.

    Raises:
        UserError: A folder holds none.
    """
    runs: dict[Path, dict[str, Any]] = {}
    for folder in folders:
        files = sorted(Path(folder).rglob("metrics.json"))
        trained = {file.parent: json.loads(file.read_text(encoding="utf-8")) for file in files}
        trained = {path: metrics for path, metrics in trained.items() if "overrides" in metrics}
        if not trained:
            raise UserError(f"runs: '{folder}' holds no finished run of train.py; give one")
        runs |= trained
    return list(runs.items())


def call_runs(overrides: Sequence[Sequence[str]]) -> list[str]:
    """A name for each run: what was typed for it and not for all of them."""
    typed = [[one for one in each if not one.split("=")[0].startswith(_NOT_NAMED)]
             for each in overrides]  # fmt: skip
    common = set.intersection(*map(set, typed)) if len(typed) > 1 else set()
    return [", ".join(one for one in each if one not in common) or DEFAULT for each in typed]


def _of_task(folder: Path, metrics: dict[str, Any], task: str | None) -> dict[str, Any]:
    """A run's numbers; of one that learned several tasks, those of the task that is looked at."""
    tasks = metrics.get("tasks")
    if tasks is None:
        return metrics
    if task not in tasks:
        raise UserError(
            f"task: {task!r} is not allowed, for the run in '{folder}' learned "
            f"{', '.join(tasks)}; give one of these"
        )
    return {**metrics, "collapse": None, **tasks[task]}


def _seed(overrides: Sequence[str]) -> int:
    seeds = [int(one.partition("=")[2]) for one in overrides if one.startswith("seed=")]
    return seeds[-1] if seeds else 0
