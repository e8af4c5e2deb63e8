"""What stands in the tab that drags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from i2i_dds import example_picture
from i2i_dds.app import markup
from i2i_dds.app.arrows import with_arrows
from i2i_dds.app.edit_layout import brush_field, code_field, picture_field
from i2i_dds.app.pictures import shown

EXAMPLE_CLICKS = [(30, 36), (42, 36)]
"""A head goes to the right."""


class DragInputs:
    """The fields on the left.

    Args:
        presets: Of the teacher, its block for drags.
        presets_lora: Its block for LoRAs; empty where it learns none.
    """

    def __init__(self, presets: Mapping[str, Any], presets_lora: Mapping[str, Any]) -> None:
        example = example_picture()
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=190):
                self.picture = picture_field("drag-picture", example)
            with gr.Column(scale=3, min_width=230):
                self.prompt = gr.Textbox(
                    "a cat", label="It shows", max_length=500, elem_id="drag-prompt"
                )
                gr.HTML(markup.caption("Click a handle below, then where it shall go."))
                with gr.Row(elem_classes="i2i-examples"):
                    self.undo = gr.Button(
                        "Undo a click", size="sm", min_width=90, elem_id="drag-undo"
                    )
                    self.clear = gr.Button(
                        "Undo all", size="sm", min_width=90, elem_id="drag-clear"
                    )
        self.canvas = gr.Image(
            with_arrows(example, EXAMPLE_CLICKS),
            type="pil",
            format="png",
            show_label=False,
            interactive=False,
            buttons=[],
            height=380,
            elem_id="drag-canvas",
        )
        self.clicks = gr.State(EXAMPLE_CLICKS)
        with gr.Row(elem_classes="i2i-run"):
            self.run = gr.Button("Drag", variant="primary", elem_id="drag-run", scale=3)
            self.stop = gr.Button("Stop", elem_id="drag-stop", scale=1, min_width=80)
        with gr.Accordion("Settings", open=True, elem_classes="i2i-settings"):
            self.controls = _controls(presets)
            self.masked = gr.Checkbox(
                False, label="Only what is painted may change", elem_id="drag-masked"
            )
            self.brush = brush_field("drag-brush")
        with gr.Accordion("LoRA, and benchmark items", open=False, elem_classes="i2i-settings"):
            self.lora = _lora_controls(presets_lora)
            self.save = gr.Button("Save as a benchmark item", size="sm", elem_id="drag-save")


class DragOutputs:
    """The results on the right, and the lines that repeat them."""

    def __init__(self) -> None:
        self.status = gr.HTML(markup.status("Click Drag to begin."), elem_id="drag-status")
        first = shown(example_picture())
        self.slider = gr.ImageSlider(
            (with_arrows(example_picture(), EXAMPLE_CLICKS), first),
            label="Before and after",
            type="pil",
            format="png",
            interactive=False,
            buttons=["fullscreen"],
            elem_id="drag-slider",
        )
        with gr.Tabs(elem_classes="i2i-code"):
            with gr.Tab("Python"):
                self.python = code_field("python", "drag-python")
            with gr.Tab("Command line"):
                self.command = code_field("shell", "drag-command")
            with gr.Tab("What was run"):
                self.used = gr.HTML(elem_id="drag-used")


def _controls(presets: Mapping[str, Any]) -> dict[str, Any]:
    with gr.Row():
        return {
            "num_inference_steps": gr.Slider(
                2, 200, presets["steps"], step=1, label="Steps", elem_id="drag-steps", min_width=180
            ),
            "strength": gr.Slider(
                0.05,
                1,
                presets["strength"],
                step=0.01,
                label="Strength",
                elem_id="drag-strength",
                min_width=180,
            ),
            "radius": gr.Slider(
                1, 20, presets["radius"], step=1, label="Radius, in cells", min_width=180
            ),
            "seed": gr.Number(0, label="Seed", precision=0, minimum=0, min_width=80),
        }


def _lora_controls(presets: Mapping[str, Any]) -> list[Any]:
    """Whether the teacher learns the picture first, at which rank, in how many steps."""
    shown = bool(presets)

    def slider(most: int, value: int, label: str, name: str) -> gr.Slider:
        return gr.Slider(
            1, most, value, step=1, label=label, visible=shown, elem_id=name, min_width=180
        )

    learns = gr.Checkbox(
        False, label="Learn the picture first (LoRA)", visible=shown, elem_id="drag-lora"
    )
    with gr.Row():
        rank = slider(64, presets.get("rank", 4), "Rank", "drag-lora-rank")
        steps = slider(400, presets.get("steps", 100), "Steps of learning", "drag-lora-steps")
    return [learns, rank, steps]
