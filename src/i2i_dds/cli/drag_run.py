"""What ``drag.py`` and ``drag_bench.py`` share: from an item to its dragged picture, on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from PIL import Image

from i2i_dds.cli.sizes import side
from i2i_dds.data.dragbench import DragItem, TruthItem
from i2i_dds.data.images import fit, fit_mask, to_pil, to_tensor
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.drag_items import Dragged, DragRequest, drag_item
from i2i_dds.editing.interface import EditStep
from i2i_dds.evaluation.drag_picture import marked
from i2i_dds.evaluation.drag_sheet import PICTURE
from i2i_dds.evaluation.grid import grid
from i2i_dds.runs import write_image
from i2i_dds.teacher.interface import Teacher

if TYPE_CHECKING:
    from i2i_dds.editing.lora import LoraSettings, OnStep
    from i2i_dds.editing.lora_cache import KeptLora

FRAME, LAST_FRAME = 500, 1500
"""Milliseconds that the animation shows a drag step, and its first and last picture."""


def request_of(item: DragItem, teacher: Teacher, size: Any, mode: str) -> DragRequest:
    """An item as a request, its picture and mask at a size that the teacher takes.

    Raises:
        UserError: The picture is of another size and may not be resized, or nothing is left of
            the mask at its new size.
    """
    settled = teacher.downscale, side(size), mode
    picture = fit(item.image, *settled)
    mask = None if item.mask is None else fit_mask(item.mask, *settled)
    return DragRequest(
        *(item.name, to_tensor(picture), item.prompt, item.points),
        size=item.image.size,
        mask=None if mask is None else to_tensor(mask),
    )


def first_timestep(drag: Drag, teacher: Teacher) -> int:
    """Where the way back begins.

    Raises:
        UserError: The teacher's schedule has no such steps; asked before anything is trained.
    """
    return teacher.schedule.pairs(drag.steps, drag.t0)[0][0]


def lora_of(
    teacher: Any,
    request: DragRequest,
    cfg: DictConfig,
    settings: LoraSettings,
    on_step: OnStep | None = None,
) -> KeptLora | None:
    """The picture's LoRA, trained now or before; None where ``use_lora`` is false."""
    if not cfg.use_lora:
        return None
    from i2i_dds.editing.lora_cache import lora_for

    return lora_for(teacher, request.x, request.prompt, settings, cfg.lora_dir, on_step)


def dragged_item(
    drag: Drag,
    teacher: Any,
    request: DragRequest,
    cfg: DictConfig,
    lora: KeptLora | None,
    on_step: Callable[[EditStep], None] | None = None,
) -> Dragged:
    """Drags one picture.

    Args:
        drag: How.
        teacher: By whom.
        request: What.
        cfg: For seed, lora_high and lora_low.
        lora: Of the picture; None drags with the plain teacher.
        on_step: Told of each step.
    """
    if lora is None:
        return drag_item(drag, teacher, request, cfg.seed, on_step)
    from i2i_dds.editing.lora_teacher import CosineScale, LoraTeacher

    scale = CosineScale(cfg.lora_high, cfg.lora_low, max(1, first_timestep(drag, teacher)))
    with LoraTeacher(teacher, lora.file, scale) as learned:
        return drag_item(drag, learned, request, cfg.seed, on_step)


def write_pictures(
    folder: Path, item: DragItem, request: DragRequest, dragged: Dragged, truth: TruthItem | None
) -> None:
    """The result, the picture before and after with its marks, and the way between."""

    def with_marks(x: Any, mask: Image.Image | None = None) -> Image.Image:
        return marked(to_pil(x), item.points, mask, item.image.size)

    # An empty mask holds nothing back, so it is not drawn.
    held = None if dragged.mask is None or request.mask is None else to_pil(request.mask)
    before, result = with_marks(request.x, held), to_pil(dragged.x)
    columns = {"before": [before], "after": [with_marks(dragged.x)], "dragged": [result]}
    if truth is not None:
        columns["truth"] = [truth.truth]
    side = min(512, max(before.size))
    write_image(folder / "dragged.png", result)
    write_image(folder / PICTURE, grid(columns, [item.prompt], side))
    first, *others = map(with_marks, dragged.frames)
    times = [LAST_FRAME, *[FRAME] * (len(others) - 1), LAST_FRAME]
    options = {"append_images": others, "duration": times, "loop": 0}
    write_image(folder / "animation.gif", first, save_all=True, **options)
