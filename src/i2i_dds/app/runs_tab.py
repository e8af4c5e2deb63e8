"""The tab that shows trainings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from i2i_dds import UserError
from i2i_dds.app import markup
from i2i_dds.app.compare_panel import ComparePanel
from i2i_dds.app.job_button import NEWEST, QUIET, error_line
from i2i_dds.app.jobs import Stops
from i2i_dds.app.run_folder import Run, find_runs, read_run
from i2i_dds.app.students import Students

FIRST = {"train": "train/loss", "val": "val/psnr_truth_gain"}
"""Curves that are shown first."""

_IN_TURN: dict[str, Any] = {"concurrency_id": "runs", "concurrency_limit": 1, **QUIET}
"""What was asked for last is what is shown at the end."""

_SIDES = {"train": "Training", "val": "Held out"}
_HEADLINE = (
    *("success", "psnr_truth_gain", "psnr_backdrop", "sharpness", "n", "steps"),
    *("seconds_per_image", "zero_shot_speedup"),
)


class RunsTab:
    """Adds itself to the page that is being built.

    Args:
        roots: Folders of trainings that may be shown.
        students: That they have saved.
        stops: Of the page's jobs.
    """

    def __init__(self, roots: Sequence[Path], students: Students, stops: Stops) -> None:
        self.roots = tuple(roots)
        names = list(find_runs(self.roots))
        with gr.Row(elem_classes="i2i-choose"):
            self.run = gr.Dropdown(
                names,
                value=None,
                label="Training, the newest first",
                elem_id="runs-run",
                scale=5,
                min_width=260,
            )
            self.refresh = gr.Button(
                "Look again", size="sm", elem_id="runs-refresh", scale=0, min_width=110
            )
        self.status = gr.HTML(markup.status(_hint(names)), elem_id="runs-status")
        with gr.Row(visible=False) as self.pictures:
            with gr.Column(scale=5, min_width=320):
                self.samples = gr.Gallery(
                    label="Samples over the training",
                    preview=True,
                    object_fit="contain",
                    height=560,
                    format="png",
                    interactive=False,
                    buttons=["fullscreen"],
                    elem_id="runs-samples",
                )
            with gr.Column(scale=4, min_width=320):
                self.curves = {side: self._curve(side) for side in _SIDES}
        self.table = gr.HTML(elem_id="runs-table")
        self.compare = ComparePanel(students, stops)
        self._connect()

    def open_with(self, tab: gr.Tab) -> None:
        """Whoever opens the tab sees the newest training, unless one is chosen."""
        tab.select(self._open, [self.run], [self.run, *self._shown()], **_IN_TURN)

    def _curve(self, side: str) -> tuple[gr.Dropdown, gr.LinePlot]:
        choice = gr.Dropdown([], label=_SIDES[side], elem_id=f"runs-{side}")
        plot = gr.LinePlot(
            x="step",
            y="value",
            height=210,
            show_label=False,
            buttons=[],
            elem_id=f"runs-{side}-plot",
        )
        return choice, plot

    def _shown(self) -> list[Any]:
        charts = [part for pair in self.curves.values() for part in pair]
        return [self.status, self.pictures, self.samples, *charts, self.table]

    def _connect(self) -> None:
        self.run.input(self._show, [self.run], self._shown(), **NEWEST, **_IN_TURN)
        looked = [self.run, self.status, *self.compare.chosen]
        self.refresh.click(self._look, None, looked, **_IN_TURN)
        for choice, plot in self.curves.values():
            choice.input(self._draw, [self.run, choice], [plot], **NEWEST, **_IN_TURN)

    def _open(self, chosen: str | None) -> dict[Any, Any]:
        names = list(find_runs(self.roots))
        if chosen or not names:
            return {self.run: gr.update(choices=names)}
        return {self.run: gr.update(choices=names, value=names[0]), **self._show(names[0])}

    def _look(self) -> tuple[Any, ...]:
        names = list(find_runs(self.roots))
        return gr.update(choices=names), markup.status(_hint(names)), *self.compare.look()

    def _read(self, name: str) -> Run:
        runs = find_runs(self.roots)
        if name not in runs:
            raise UserError("run: there is none of this name; look again, and choose one")
        return read_run(runs[name])

    def _show(self, name: str) -> dict[Any, Any]:
        try:
            run = self._read(name)
        except UserError as error:
            return {self.status: error_line(error)}
        changes: dict[Any, Any] = {
            self.status: markup.status(_summary(run), 1, "done"),
            self.pictures: gr.update(visible=True),
            self.samples: gr.update(
                value=[(image, f"step {step}") for step, image in run.samples],
                selected_index=len(run.samples) - 1 if run.samples else None,
            ),
            self.table: _tables(run),
        }
        for side, (choice, plot) in self.curves.items():
            names = sorted(one for one in run.curves if one.startswith(f"{side}/"))
            first = FIRST[side] if FIRST[side] in names else next(iter(names), None)
            changes[choice] = gr.update(choices=names, value=first)
            changes[plot] = _frame(run, first)
        return changes

    def _draw(self, name: str, curve: str) -> pd.DataFrame | None:
        try:
            return _frame(self._read(name), curve)
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error


def _hint(names: Sequence[str]) -> str:
    if not names:
        return "There is no training yet. Type: i2i train task=cat2lion"
    return f"{len(names)} found. Choose one."


def _frame(run: Run, curve: str | None) -> pd.DataFrame | None:
    points = run.curves.get(curve or "")
    return pd.DataFrame(points, columns=["step", "value"]) if points else None


def _summary(run: Run) -> str:
    if not run.metrics:
        return "This training has not been measured; it goes on, or was stopped."
    shown = [
        name for name in ("success", "psnr_truth_gain", "psnr_backdrop") if name in run.metrics
    ]
    return " · ".join(f"{name} {_short(run.metrics[name])}" for name in shown) or "Measured"


def _tables(run: Run) -> str:
    headline = {name: _short(run.metrics[name]) for name in _HEADLINE if name in run.metrics}
    overrides = run.metrics.get("overrides")
    if isinstance(overrides, list):
        headline["typed"] = " ".join(map(str, overrides))
    rows = [{name: _short(value) for name, value in row.items() if value} for row in run.rows]
    return markup.table(headline) + markup.rows(rows)


def _short(value: Any) -> str:
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value)
