"""Studies of the teacher's gradients: which directions agree, and how long they are."""

from __future__ import annotations

from functools import partial
from typing import Any

from i2i_dds.evaluation.aggregate import over_seeds
from i2i_dds.research.directions import cosines, norms
from i2i_dds.research.plots import plot_lines
from i2i_dds.research.studies.descents import descent, eval_batches
from i2i_dds.research.studies.interface import StudyContext, StudyResult
from i2i_dds.research.studies.settings import CosineSettings, GradientsSettings


def run(settings: CosineSettings, context: StudyContext) -> StudyResult:
    """Rows over timesteps, for every pair of directions or every score."""
    if isinstance(settings, GradientsSettings):
        return _gradients(settings, context)
    guidance_scale = descent(settings, context.teacher.presets).guidance_scale
    rows: list[dict[str, Any]] = []
    for data in eval_batches(settings, context):
        for row in cosines(data, settings.t, settings.num_noise, guidance_scale):
            rows.append({**row, "seed": data.seed})
            context.on_progress(len(rows), 4 * len(settings.t) * len(settings.seeds))
    return _result(rows, "pair", ("cosine",))


def _gradients(settings: GradientsSettings, context: StudyContext) -> StudyResult:
    editor = descent(settings, context.teacher.presets)
    total = 2 * len(settings.t) * len(set(settings.iterations)) * len(settings.seeds)
    rows: list[dict[str, Any]] = []
    for data in eval_batches(settings, context):
        for row in norms(data, editor, settings.iterations, settings.t, settings.num_noise):
            curve = f"{row['score']} after {row['iteration']}"
            rows.append({**row, "seed": data.seed, "curve": curve})
            context.on_progress(len(rows), total)
    return _result(rows, "curve", ("norm", "between"))


def _result(rows: list[dict[str, Any]], by: str, measures: tuple[str, ...]) -> StudyResult:
    lines = over_seeds(rows, (by, "t"), measures)
    return StudyResult(
        lines=lines,
        shown=(by, "t", *measures),
        plot=partial(plot_lines, lines, "t", by, measures),
        rows=rows,
    )
