"""What the clicks in the tab that drags do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from i2i_dds import EditPipeline, UserError
from i2i_dds.app import markup
from i2i_dds.app.arrows import MOST_CLICKS, Click, clicked, with_arrows
from i2i_dds.app.drag_job import Clicked, drag, save
from i2i_dds.app.drag_layout import DragInputs, DragOutputs
from i2i_dds.app.history import Entry, History
from i2i_dds.app.job_button import QUIET, connect_job, error_line
from i2i_dds.app.jobs import Preview, Stops
from i2i_dds.app.pictures import read_upload, shown
from i2i_dds.app.requests import TeacherName


class DragTab:
    """Adds itself to the page that is being built; arguments as of ``EditTab``."""

    def __init__(
        self, pipe: EditPipeline, teacher: TeacherName, history: History, stops: Stops
    ) -> None:
        self.pipe, self.teacher, self.history, self.stops = pipe, teacher, history, stops
        with gr.Row(elem_classes="i2i-columns"):
            with gr.Column(scale=5, min_width=320):
                self.inputs = DragInputs(
                    pipe.teacher.presets["drag"], pipe.teacher.presets.get("lora", {})
                )
            with gr.Column(scale=6, min_width=320):
                self.outputs = DragOutputs()
        self._connect()

    def _connect(self) -> None:
        inputs, outputs = self.inputs, self.outputs
        fields = [inputs.picture, inputs.prompt, inputs.clicks, inputs.masked, inputs.brush]
        asked = [*fields, *inputs.controls.values(), *inputs.lora]
        inputs.save.click(self._save, asked, [outputs.status], **QUIET)
        results = [outputs.status, outputs.slider, outputs.python, outputs.command, outputs.used]
        connect_job(self.stops, [inputs.run.click], inputs.stop, self._drag, asked, results)
        marks: dict[str, Any] = {
            "inputs": [inputs.picture, inputs.clicks],
            "outputs": [inputs.canvas, inputs.clicks],
            **QUIET,
        }
        inputs.canvas.select(self._click, **marks)
        inputs.undo.click(lambda picture, clicks: _marked(picture, clicks[:-1]), **marks)
        inputs.clear.click(lambda picture, clicks: _marked(picture, []), **marks)
        inputs.picture.input(lambda picture, clicks: _marked(picture, []), **marks)
        for trigger in (inputs.masked.input, inputs.picture.input):
            trigger(_brush, [inputs.picture, inputs.masked], [inputs.brush], **QUIET)

    def _click(
        self, picture: str | None, clicks: list[Click], event: gr.SelectData
    ) -> tuple[Any, list[Click]]:
        if picture is None or len(clicks) >= MOST_CLICKS:
            return _marked(picture, clicks)
        size = _read(picture).size
        return _marked(picture, [*clicks, clicked(event.index, size)])

    def _save(self, *fields: Any) -> str:
        try:
            folder = save(_clicked(*fields), self.history)
        except UserError as error:
            return error_line(error)
        return markup.status(f"Saved as a benchmark item · {folder}", 1, "done")

    def _drag(self, stop: threading.Event, *fields: Any) -> Iterator[dict[Any, Any]]:
        asked = _clicked(*fields)
        for one in drag(asked, self.pipe, self.teacher, self.history, stop):
            if isinstance(one, Preview):
                yield self._preview(asked, one)
            else:
                yield self._details(asked, one)

    def _preview(self, asked: Clicked, one: Preview) -> dict[Any, Any]:
        assert asked.picture is not None
        text = f"{one.what} {one.step} of {one.steps} · {one.seconds:.1f} s"
        before = with_arrows(read_upload(asked.picture), asked.clicks)
        return {
            self.outputs.status: markup.status(text, one.step / one.steps, "busy"),
            self.outputs.slider: (before, shown(one.image)),
        }

    def _details(self, asked: Clicked, entry: Entry) -> dict[Any, Any]:
        outputs = self.outputs
        text = f"{entry.title} · {entry.settings['seconds']} s · {entry.folder}"
        return {
            outputs.status: markup.status(text, 1, "done"),
            outputs.slider: (with_arrows(entry.source, asked.clicks), shown(entry.result)),
            outputs.python: entry.python,
            outputs.command: entry.command,
            outputs.used: markup.table(entry.settings),
        }


def _clicked(
    picture: str | None,
    prompt: str,
    clicks: list[Click],
    masked: bool,
    painting: dict[str, Any] | None,
    num_inference_steps: float,
    strength: float,
    radius: float,
    seed: float,
    learns: bool,
    rank: float,
    steps: float,
) -> Clicked:
    values = {
        "num_inference_steps": int(num_inference_steps),
        "strength": strength,
        "radius": int(radius),
    }
    lora = {"rank": int(rank), "steps": int(steps)} if learns else None
    return Clicked(picture, prompt, clicks, values, masked, painting, int(seed or 0), lora)


def _marked(picture: str | None, clicks: list[Click]) -> tuple[Any, list[Click]]:
    return (None, []) if picture is None else (with_arrows(_read(picture), clicks), clicks)


def _brush(picture: str | None, masked: bool) -> dict[str, Any]:
    if not masked or picture is None:
        return gr.update(visible=False)
    return gr.update(visible=True, value=shown(_read(picture)))


def _read(picture: str) -> Any:
    try:
        return read_upload(picture)
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
