"""All of the bench in one run, on one teacher's weights."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch

from i2i_dds.errors import UserError
from i2i_dds.research.bench.crowded import crowded
from i2i_dds.research.bench.dragging import drag_comparison, queue_comparison
from i2i_dds.research.bench.machine import machine
from i2i_dds.research.bench.network import teacher_shares
from i2i_dds.research.bench.settings import ONNX, BenchSettings
from i2i_dds.research.bench.training import FOUR_TASKS, training_comparison, training_row
from i2i_dds.research.bench.zero_shot import growth, zero_shot_rows
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

ZERO_SHOT = "zero_shot"
"""The three rows of zero-shot editing."""

ROWS = (ZERO_SHOT, "sde_drag", "sde_drag_batch16", "training", "training_4_tasks")
"""Parts that can be asked for alone."""

PARTS = 10
"""Of which :func:`run_bench` tells: seven rows, growth, the network, the crowded machine."""


def run_bench(
    teacher: Any,
    teacher_path: str,
    settings: BenchSettings,
    done: Callable[[str], None],
    only: Collection[str] | None = None,
) -> dict[str, Any]:
    """Every row of bench.json.

    Args:
        teacher: Who is asked, by both ways.
        teacher_path: Where it was loaded from.
        settings: The sizes.
        done: Told of each part when it is there.
        only: Some of :data:`ROWS`; None is all of the bench.

    Raises:
        UserError: The plain loops do not know such a teacher.
    """
    check_teacher(teacher)
    if settings.compile == ONNX:
        teacher.use_onnx()
    found: dict[str, Any] = {"machine": machine(teacher.device)}
    if only is None or ZERO_SHOT in only:
        found |= zero_shot_rows(teacher, teacher_path, settings, done)
    parts: dict[str, Callable[[], Any]] = {
        "sde_drag": lambda: drag_comparison(teacher, settings),
        "sde_drag_batch16": lambda: queue_comparison(teacher, settings),
        "training": lambda: training_row(teacher, teacher_path, settings),
        "training_4_tasks": lambda: training_comparison(teacher, settings, FOUR_TASKS),
        "growth": lambda: growth(teacher, settings),
        "teacher_share_of_peak": lambda: teacher_shares(teacher, settings.rounds, settings.compile),
        "crowded": lambda: crowded(teacher_path) if settings.crowded else None,
    }
    for name, measure in parts.items():
        if only is None or name in only:
            found[name] = measure()
            done(name)
    return found


def parts_of(only: Collection[str]) -> int:
    """How many parts :func:`run_bench` tells of where it is asked for some of :data:`ROWS`."""
    return len(only) + (2 if ZERO_SHOT in only else 0)


def check_teacher(teacher: Any) -> None:
    """Refuses what the plain loops cannot ask.

    Raises:
        UserError: It is no Stable Diffusion in float32 that predicts noise.
    """
    if not isinstance(teacher, StableDiffusionTeacher):
        raise UserError(
            f"teacher: the plain loops ask a Stable Diffusion, not a {type(teacher).__name__}; "
            "give the pocket teacher"
        )
    if teacher.process.prediction_type != "epsilon":
        raise UserError(
            f"teacher: the plain loops take predictions of noise, not "
            f"{teacher.process.prediction_type}; give the pocket teacher"
        )
    if teacher.dtype != torch.float32:
        raise UserError(
            f"dtype: {str(teacher.dtype).removeprefix('torch.')} is not allowed, for in it "
            "both ways round differently; give float32"
        )


def not_agreed(found: dict[str, Any]) -> list[str]:
    """Rows whose ways differ by more than their tolerance, and so have no ratio."""
    rows = {name: row for name, row in found.items() if isinstance(row, dict) and "ratio" in row}
    return [name for name, row in rows.items() if row["ratio"] is None]
