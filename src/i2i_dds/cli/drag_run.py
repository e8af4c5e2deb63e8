"""What ``drag.py`` and ``drag_bench.py`` share: from an item to the dragged picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.data.dragbench import DragItem
from i2i_dds.data.images import fit, to_tensor
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.drag_items import Dragged, DragRequest, drag_item
from i2i_dds.editing.interface import EditStep
from i2i_dds.teacher.interface import Teacher

if TYPE_CHECKING:
    from i2i_dds.editing.lora import LoraSettings, OnStep
    from i2i_dds.editing.lora_cache import KeptLora


def request_of(item: DragItem, teacher: Teacher, size: Any, mode: str) -> DragRequest:
    """An item as a request, its picture and mask at a size that the teacher takes."""
    side = tuple(size) if OmegaConf.is_list(size) else size
    picture = fit(item.image, teacher.downscale, side, mode)
    mask = None if item.mask is None else fit(item.mask, teacher.downscale, side, mode)
    return DragRequest(
        *(item.name, to_tensor(picture), item.prompt, item.points),
        size=item.image.size,
        mask=None if mask is None else to_tensor(mask),
    )


def dragged_item(
    drag: Drag,
    teacher: Any,
    request: DragRequest,
    cfg: DictConfig,
    lora: LoraSettings | None,
    on_lora: OnStep | None = None,
    on_step: Callable[[EditStep], None] | None = None,
) -> tuple[Dragged, KeptLora | None]:
    """Drags one picture, with a LoRA of it where ``lora`` says how it is made.

    Args:
        drag: How.
        teacher: By whom.
        request: What.
        cfg: For seed, t0, lora_high, lora_low and lora_dir.
        lora: None drags with the plain teacher.
        on_lora: Told of each step of a LoRA's training.
        on_step: Told of each step of the drag.
    """
    if lora is None:
        return drag_item(drag, teacher, request, cfg.seed, on_step), None
    from i2i_dds.editing.lora_cache import lora_for
    from i2i_dds.editing.lora_teacher import CosineScale, LoraTeacher

    kept = lora_for(teacher, request.x, request.prompt, lora, cfg.lora_dir, on_lora)
    end = teacher.schedule.pairs(drag.steps, drag.t0)[0][0]
    scale = CosineScale(cfg.lora_high, cfg.lora_low, max(1, end))
    with LoraTeacher(teacher, kept.file, scale) as learned:
        return drag_item(drag, learned, request, cfg.seed, on_step), kept
