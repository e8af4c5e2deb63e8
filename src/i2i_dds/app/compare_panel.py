"""The part of the tab of trainings that sets two students side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from i2i_dds import UserError
from i2i_dds.app import markup
from i2i_dds.app.compare import OWN, shared_tasks, side_by_side
from i2i_dds.app.job_button import TASK, connect_choice, connect_job, error_line
from i2i_dds.app.jobs import Preview, Stops
from i2i_dds.app.students import Students

_EACH_ITS_OWN = ("each its own first", OWN)


class ComparePanel:
    """Adds itself to the page that is being built.

    Args:
        students: That may be asked.
        stops: Of the page's jobs.
    """

    def __init__(self, students: Students, stops: Stops) -> None:
        self.students = students
        names = students.names()
        with gr.Accordion("Two students side by side", open=False, elem_id="runs-compare"):
            with gr.Row():
                self.chosen = [
                    gr.Dropdown(
                        names,
                        value=None,
                        label=f"Student {one}",
                        elem_id=f"compare-{one}",
                        min_width=220,
                    )
                    for one in ("A", "B")
                ]
                self.task = gr.Dropdown(
                    [_EACH_ITS_OWN], value=OWN, label="Task", elem_id="compare-task", min_width=180
                )
            with gr.Row(elem_classes="i2i-run"):
                self.run = gr.Button("Compare", variant="primary", elem_id="compare-run", scale=3)
                self.stop = gr.Button("Stop", elem_id="compare-stop", scale=1, min_width=80)
            self.status = gr.HTML(markup.status("Choose two students."), elem_id="compare-status")
            self.sheet = gr.Image(
                show_label=False,
                interactive=False,
                visible=False,
                format="png",
                buttons=["fullscreen"],
                elem_id="compare-sheet",
            )
            with gr.Accordion("Your pictures, instead of held-out scenes", open=False):
                self.uploads = gr.File(
                    show_label=False,
                    file_count="multiple",
                    file_types=["image"],
                    height=120,
                    elem_id="compare-pictures",
                )
        connect_job(
            stops,
            [self.run.click],
            self.stop,
            self._compare,
            [*self.chosen, self.uploads, self.task],
            [self.status, self.sheet],
        )
        for one in self.chosen:
            connect_choice(one, self.task, self._choose, self.chosen, [self.task, self.status])

    def look(self) -> list[Any]:
        """Both lists of students as they are now."""
        names = self.students.names()
        return [gr.update(choices=names) for _ in self.chosen]

    def _choose(self, a: str | None, b: str | None) -> dict[Any, Any]:
        try:
            loaded = [self.students.load(name) for name in (a, b) if name]
        except UserError as error:
            return {self.task: gr.update(label=TASK), self.status: error_line(error)}
        tasks = shared_tasks(loaded) if loaded else []
        choices = [*((name, name) for name in tasks), _EACH_ITS_OWN]
        hint = "Click Compare to begin." if len(loaded) > 1 else "Choose two students."
        return {
            self.task: gr.update(choices=choices, value=choices[0][1], label=TASK),
            self.status: markup.status(hint),
        }

    def _compare(
        self,
        stop: threading.Event,
        a: str | None,
        b: str | None,
        uploads: list[str] | None,
        task: str | None,
    ) -> Iterator[dict[Any, Any]]:
        if not a or not b:
            raise UserError("student: two are wanted; choose A and B")
        chosen: dict[str, Path] = {
            f"{label} {name}": self.students.folder(name) for label, name in (("A", a), ("B", b))
        }
        for told in side_by_side(chosen, uploads or [], self.students.pipe, stop, task or OWN):
            if isinstance(told, Preview):
                text = f"{told.what} {told.step} of {told.steps} · {told.seconds:.1f} s"
                line = markup.status(text, told.step / told.steps, "busy")
                yield {self.status: line, self.sheet: gr.update(value=told.image, visible=True)}
            else:
                line = markup.status(f"Compared · {told.seconds:.1f} s", 1, "done")
                yield {self.status: line, self.sheet: gr.update(value=told.value, visible=True)}
