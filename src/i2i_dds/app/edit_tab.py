"""What the clicks in the tab that edits do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from i2i_dds import EditPipeline, UserError, example_picture
from i2i_dds.app import markup
from i2i_dds.app.edit_job import AUTO, BRUSH, EVERYTHING, FILE, Asked, edit
from i2i_dds.app.edit_layout import EXAMPLES, EditInputs, EditOutputs
from i2i_dds.app.editors import BY_NAME, STUDENT, preset_values
from i2i_dds.app.history import Entry, History
from i2i_dds.app.job_button import (
    NEWEST,
    QUIET,
    TASK,
    connect_choice,
    connect_job,
    error_line,
)
from i2i_dds.app.jobs import Preview, Stops
from i2i_dds.app.pictures import read_upload, shown
from i2i_dds.app.requests import TeacherName
from i2i_dds.app.student_request import tasks_of
from i2i_dds.app.students import Students


class EditTab:
    """Adds itself to the page that is being built.

    Args:
        pipe: Who edits.
        teacher: How it is asked for elsewhere.
        history: Where results go.
        stops: Of the page's jobs.
        students: That may be asked.
    """

    def __init__(
        self,
        pipe: EditPipeline,
        teacher: TeacherName,
        history: History,
        stops: Stops,
        students: Students,
    ) -> None:
        self.students = students
        self.pipe, self.teacher, self.history, self.stops = pipe, teacher, history, stops
        with gr.Row(elem_classes="i2i-columns"):
            with gr.Column(scale=5, min_width=320):
                self.inputs = EditInputs(pipe.teacher.presets, students.names())
            with gr.Column(scale=6, min_width=320):
                self.outputs = EditOutputs()
        self._connect()

    def _connect(self) -> None:
        inputs, outputs = self.inputs, self.outputs
        fields = [inputs.picture, inputs.source, inputs.target, inputs.editor, inputs.mask]
        fields += [inputs.brush, inputs.own_size, inputs.seed, outputs.entries]
        fields += [inputs.mask_file, inputs.student, inputs.task]
        fields += inputs.controls.values()
        detail = [outputs.slider, outputs.python, outputs.command, outputs.used]
        connect_job(
            self.stops,
            [inputs.run.click, inputs.target.submit],
            inputs.stop,
            self._edit,
            fields,
            [outputs.status, *detail, outputs.entries, outputs.gallery],
        )
        outputs.gallery.select(
            self._recall, [outputs.entries], [outputs.status, *detail], queue=False, **QUIET
        )
        self._connect_fields()

    def _connect_fields(self) -> None:
        inputs = self.inputs
        inputs.editor.input(
            self._choose_editor,
            [inputs.editor],
            [*inputs.controls.values(), inputs.mask, inputs.student_row, inputs.student],
            queue=False,
            **NEWEST,
            **QUIET,
        ).then(
            self._show_masks,
            [inputs.picture, inputs.mask],
            [inputs.brush, inputs.mask_file],
            **QUIET,
        )
        told = [inputs.task, self.outputs.status]
        connect_choice(inputs.student, inputs.task, self._choose_student, [inputs.student], told)
        for trigger in (inputs.mask.input, inputs.picture.change):
            trigger(
                self._show_masks,
                [inputs.picture, inputs.mask],
                [inputs.brush, inputs.mask_file],
                **NEWEST,
                **QUIET,
            )
        for button, (source, target) in zip(inputs.examples, EXAMPLES, strict=True):
            button.click(
                _example(source, target),
                None,
                [inputs.picture, inputs.source, inputs.target],
                queue=False,
                **QUIET,
            )

    def forget(self, request: gr.Request) -> None:
        """Stops what a page that was closed had asked for."""
        self.stops.forget(str(request.session_hash))

    def _edit(
        self,
        stop: threading.Event,
        picture: str | None,
        source: str,
        target: str,
        editor: str,
        mask: str,
        painting: dict[str, Any] | None,
        own_size: bool,
        seed: float,
        entries: list[Entry],
        mask_file: str | None,
        student: str | None,
        task: str | None,
        score: str,
        guidance_scale: float,
        num_inference_steps: float,
        strength: float,
        lr: float,
    ) -> Iterator[dict[Any, Any]]:
        values = {
            "score": score,
            "guidance_scale": guidance_scale,
            "num_inference_steps": int(num_inference_steps),
            "strength": strength,
            "lr": lr,
        }
        outputs = self.outputs
        asked = Asked(
            *(picture, source, target, editor, values, mask, painting, own_size),
            seed=int(seed or 0),
            mask_file=mask_file,
            student=self.students.folder(student) if editor == STUDENT and student else None,
            task=task or None,
        )
        for one in edit(asked, self.pipe, self.teacher, self.history, stop):
            if isinstance(one, Preview):
                yield self._preview(asked, one)
            else:
                entries = [one, *entries]
                yield {
                    **self._details(one),
                    outputs.entries: entries,
                    outputs.gallery: [(entry.result, entry.title) for entry in entries],
                }

    def _preview(self, asked: Asked, one: Preview) -> dict[Any, Any]:
        assert asked.picture is not None
        text = f"Step {one.step} of {one.steps} · {one.seconds:.1f} s"
        return {
            self.outputs.status: markup.status(text, one.step / one.steps, "busy"),
            self.outputs.slider: (shown(read_upload(asked.picture)), shown(one.image)),
        }

    def _details(self, entry: Entry) -> dict[Any, Any]:
        outputs = self.outputs
        text = f"{entry.title} · {entry.settings['seconds']} s · {entry.folder}"
        return {
            outputs.status: markup.status(text, 1, "done"),
            outputs.slider: (shown(entry.source), shown(entry.result)),
            outputs.python: entry.python,
            outputs.command: entry.command,
            outputs.used: markup.table(entry.settings),
        }

    def _recall(self, entries: list[Entry], event: gr.SelectData) -> dict[Any, Any]:
        number = event.index if isinstance(event.index, int) else -1
        return self._details(entries[number]) if 0 <= number < len(entries) else {}

    def _choose_editor(self, editor: str) -> dict[Any, Any]:
        offered = BY_NAME[editor]
        presets = preset_values(editor, self.pipe.teacher.presets)
        changes: dict[Any, Any] = {
            component: gr.update(visible=name in presets, **_value(presets, name))
            for name, component in self.inputs.controls.items()
        }
        wants = BRUSH if offered.needs_mask else AUTO if offered.finds_mask else EVERYTHING
        asks = editor == STUDENT
        return {
            **changes,
            self.inputs.mask: wants,
            self.inputs.student_row: gr.update(visible=asks),
            self.inputs.student: gr.update(choices=self.students.names()) if asks else gr.skip(),
        }

    def _choose_student(self, name: str | None) -> dict[Any, Any]:
        task, status = self.inputs.task, self.outputs.status
        try:
            tasks = tasks_of(self.students.load(name)) if name else []
        except UserError as error:
            none = gr.update(choices=[], value=None, label=TASK)
            return {task: none, status: error_line(error)}
        text = f"{name} knows {len(tasks)} tasks." if len(tasks) != 1 else f"{name} knows one task."
        first = tasks[0][1] if tasks else None
        offered = gr.update(choices=tasks, value=first, label=TASK)
        return {task: offered, status: markup.status(text)}

    def _show_masks(self, picture: str | None, mask: str) -> tuple[dict[str, Any], dict[str, Any]]:
        file = gr.update(visible=mask == FILE)
        if mask != BRUSH or picture is None:
            return gr.update(visible=False), file
        try:
            return gr.update(visible=True, value=shown(read_upload(picture))), file
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error


def _value(presets: dict[str, Any], name: str) -> dict[str, Any]:
    return {"value": presets[name]} if name in presets else {}


def _example(source: str, target: str) -> Any:
    return lambda: (example_picture(source), f"a {source}", f"a {target}")
