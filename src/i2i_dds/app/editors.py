"""Which editors the page offers, and which of their settings it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCORES = ("dds", "cds", "pds", "ids", "ssd", "lusd", "sds_l2", "sds")
"""Of ``zero_shot``: DDS, its relatives, and two ablations."""


@dataclass(frozen=True)
class Offered:
    """An editor of the page.

    Attributes:
        name: As :class:`i2i_dds.EditPipeline` calls it.
        label: As the page does.
        presets: The block of the teacher's presets that holds its numbers.
        controls: Arguments of the pipeline that the page lets a person set.
        needs_mask: Whether it only fills a mask.
        finds_mask: Whether it finds one by itself where none is given.
        guided: Whether it reads prompts with guidance, so that a mask can be found for it.
    """

    name: str
    label: str
    presets: str
    controls: tuple[str, ...]
    needs_mask: bool = False
    finds_mask: bool = False
    guided: bool = True


STUDENT = "student"

_WAY = ("guidance_scale", "num_inference_steps", "strength")

OFFERED = (
    Offered(
        "zero_shot",
        "DDS and its relatives",
        "zero_shot",
        ("score", "guidance_scale", "num_inference_steps", "lr"),
    ),
    Offered("flowedit", "FlowEdit", "flowedit", _WAY),
    Offered("path_delta", "Path delta, the general form", "flowedit", _WAY),
    Offered("cycle_sde", "Cycle-SDE inversion", "inversion", _WAY),
    Offered("sdedit", "SDEdit", "sdedit", _WAY),
    Offered("diffedit", "DiffEdit (finds its mask)", "inversion", _WAY, finds_mask=True),
    Offered("inpaint", "Inpainting (fills a mask)", "inpaint", _WAY[:2], needs_mask=True),
    Offered(STUDENT, "A trained student, in one pass", "", (), guided=False),
)

BY_NAME: Mapping[str, Offered] = {one.name: one for one in OFFERED}

_AS_PRESETS = {"num_inference_steps": "steps"}


def preset_values(editor: str, presets: Mapping[str, Any]) -> dict[str, Any]:
    """What a teacher's presets have for an editor's controls.

    Args:
        editor: One of :data:`BY_NAME`.
        presets: Of the teacher.

    Returns:
        Argument of the pipeline -> value.
    """
    offered = BY_NAME[editor]
    if not offered.controls:
        return {}
    block = {"score": SCORES[0], **presets[offered.presets]}
    return {control: block[_AS_PRESETS.get(control, control)] for control in offered.controls}
