"""The study of drags: every sampler, then one setting of a drag changed at a time."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import Any

from i2i_dds.checks import as_list
from i2i_dds.data.dragbench import critter_items
from i2i_dds.editing.drag import Drag
from i2i_dds.errors import UserError
from i2i_dds.pipelines.drag import drag_picture, first_timestep, request_of
from i2i_dds.research.drags import drag_row
from i2i_dds.research.studies.interface import StudyContext, StudyResult
from i2i_dds.research.studies.plots import plot_dragging
from i2i_dds.research.studies.settings import DraggingSettings


def run(settings: DraggingSettings, context: StudyContext) -> StudyResult:
    """A row for each sampler, and for each value of each changed setting.

    Raises:
        UserError: ``sensitivity`` names no setting of a drag, or a value that is not allowed.
    """
    drag, teacher = context.drag, context.teacher
    assert drag is not None
    known = [field.name for field in fields(drag)]
    asked: list[tuple[str, Any, Drag, int]] = [
        ("sampler", name, replace(drag, sampler=name), settings.n) for name in settings.samplers
    ]
    for setting, values in (settings.sensitivity or {}).items():
        if setting not in known:
            raise UserError(
                f"sensitivity.{setting}: no setting of a drag; give some of {', '.join(known)}"
            )
        for value in as_list(values):
            changed = replace(drag, **{setting: value})
            asked.append((setting, value, changed, settings.n_sensitivity))
    for _, _, changed, _ in asked:  # before the first of them has taken its time
        first_timestep(changed, teacher)
    items = critter_items(
        settings.split,  # type: ignore[arg-type]
        settings.n,
        settings.seed,
        list(settings.kinds),  # type: ignore[arg-type]
        teacher.native_size,
    )
    rows: list[dict[str, Any]] = []
    for setting, value, changed, n in asked:
        done = []
        for truth in items[:n]:
            request = request_of(truth.item, teacher, None, "error")
            dragged, _ = drag_picture(changed, teacher, request, settings.seed, context.lora)
            done.append((truth, dragged))
        row = drag_row(done)
        rows.append({"varied": setting, "value": value, **row})
        context.on_progress(len(rows), len(asked))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return StudyResult(rows, columns, partial(plot_dragging, rows))
