"""What stands in the tab that edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from i2i_dds import example_picture
from i2i_dds.app import markup
from i2i_dds.app.edit_job import AUTO, BRUSH, EVERYTHING, FILE
from i2i_dds.app.editors import OFFERED, SCORES, preset_values
from i2i_dds.app.pictures import shown

EXAMPLES = (("cat", "lion"), ("dog", "fox"), ("bear", "panda"))
"""Species drawn, and what they are to become."""

_MASKS = [
    ("everything may change", EVERYTHING),
    ("found by itself", AUTO),
    ("painted", BRUSH),
    ("a file", FILE),
]
_LONGEST_PROMPT = 500


class EditInputs:
    """The fields on the left, from the picture to the button.

    Args:
        presets: Of the teacher.
        students: Names of those that may be asked.
    """

    def __init__(self, presets: Mapping[str, Any], students: Sequence[str]) -> None:
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=190):
                self.picture = picture_field("edit-picture", example_picture(EXAMPLES[0][0]))
            with gr.Column(scale=3, min_width=230):
                self._prompts()
        self.editor = gr.Dropdown(
            [(one.label, one.name) for one in OFFERED],
            value=OFFERED[0].name,
            label="Editor",
            elem_id="edit-editor",
        )
        with gr.Row(visible=False, elem_id="edit-student-row") as self.student_row:
            self.student = gr.Dropdown(
                list(students), value=None, label="Student", elem_id="edit-student", min_width=180
            )
            self.task = gr.Dropdown([], label="Task", elem_id="edit-task", min_width=120)
        with gr.Row(elem_classes="i2i-run"):
            self.run = gr.Button("Edit", variant="primary", elem_id="edit-run", scale=3)
            self.stop = gr.Button("Stop", elem_id="edit-stop", scale=1, min_width=80)
        with gr.Accordion("Settings", open=True, elem_classes="i2i-settings"):
            self.controls = _controls(preset_values(OFFERED[0].name, presets))
            self._mask()

    def _prompts(self) -> None:
        source, target = EXAMPLES[0]
        self.source = gr.Textbox(
            f"a {source}", label="It shows", max_length=_LONGEST_PROMPT, elem_id="edit-source"
        )
        self.target = gr.Textbox(
            f"a {target}", label="It shall show", max_length=_LONGEST_PROMPT, elem_id="edit-target"
        )
        with gr.Row(elem_classes="i2i-examples"):
            self.examples = [
                gr.Button(f"{one} → {other}", size="sm", min_width=60) for one, other in EXAMPLES
            ]

    def _mask(self) -> None:
        with gr.Row():
            self.mask = gr.Radio(
                _MASKS, value=EVERYTHING, label="Mask", elem_id="edit-mask", scale=4, min_width=220
            )
            self.seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, min_width=80, elem_id="edit-seed"
            )
        self.own_size = gr.Checkbox(
            False,
            label="Edit a large picture at its own size, not the teacher's",
            elem_id="edit-own-size",
            container=False,
        )
        self.brush = brush_field("edit-brush")
        self.mask_file = picture_field("edit-mask-file", None, "Mask: white may change", False)


class EditOutputs:
    """The results on the right, and the lines that repeat them."""

    def __init__(self) -> None:
        self.status = gr.HTML(markup.status("Click Edit to begin."), elem_id="edit-status")
        first = shown(example_picture(EXAMPLES[0][0]))
        self.slider = gr.ImageSlider(
            (first, first),
            label="Before and after",
            type="pil",
            format="png",
            interactive=False,
            buttons=["fullscreen"],
            elem_id="edit-slider",
        )
        self.entries = gr.State([])
        gr.HTML(markup.caption("Results of this page. Click one to see it again."), padding=False)
        self.gallery = gr.Gallery(
            show_label=False,
            columns=6,
            height=112,
            fit_columns=False,
            format="png",
            allow_preview=False,
            object_fit="contain",
            interactive=False,
            buttons=[],
            elem_id="edit-history",
            elem_classes="i2i-picture i2i-history",
        )
        with gr.Tabs(elem_classes="i2i-code"):
            with gr.Tab("Python"):
                self.python = code_field("python", "edit-python")
            with gr.Tab("Command line"):
                self.command = code_field("shell", "edit-command")
            with gr.Tab("What was run"):
                self.used = gr.HTML(elem_id="edit-used")


def picture_field(name: str, value: Any, label: str = "Picture", visible: bool = True) -> gr.Image:
    """Where a picture is dropped; the server gets its file as it is."""
    return gr.Image(
        value,
        label=label,
        visible=visible,
        type="filepath",
        image_mode=None,
        format="png",
        sources=["upload", "clipboard"],
        buttons=[],
        height=230,
        elem_id=name,
        elem_classes="i2i-picture",
    )


def brush_field(name: str) -> gr.ImageEditor:
    """Where a mask is painted over the picture; hidden until it is asked for."""
    return gr.ImageEditor(
        label="Paint what may change",
        type="numpy",
        sources=[],
        transforms=[],
        layers=False,
        format="png",
        brush=gr.Brush(default_size=40, colors=["#f59e0b"], color_mode="fixed"),
        buttons=[],
        visible=False,
        elem_id=name,
        canvas_size=(448, 448),
    )


def code_field(language: Any, name: str) -> gr.Code:
    """Lines to copy."""
    return gr.Code(
        language=language,
        interactive=False,
        show_label=False,
        lines=4,
        wrap_lines=True,
        show_line_numbers=False,
        buttons=["copy"],
        elem_id=name,
    )


def _controls(values: Mapping[str, Any]) -> dict[str, Any]:
    def named(name: str) -> dict[str, Any]:
        return {"elem_id": f"edit-{name}", "min_width": 180, "visible": name in values}

    def slider(name: str, label: str, least: float, most: float, step: float) -> gr.Slider:
        value = values.get(name, least)
        return gr.Slider(least, most, value, step=step, label=label, **named(name))

    with gr.Row():
        return {
            "score": gr.Dropdown(
                list(SCORES), value=values.get("score"), label="Score", **named("score")
            ),
            "guidance_scale": slider("guidance_scale", "Guidance", 1, 15, 0.1),
            "num_inference_steps": slider("num_inference_steps", "Steps", 1, 200, 1),
            "strength": slider("strength", "Strength", 0.05, 1, 0.01),
            "lr": slider("lr", "Step length", 0.01, 1, 0.01),
        }
