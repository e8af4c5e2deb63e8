"""From a picture with handles to the dragged picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.handles import Cell, PixelPairs, collapsed, to_cells
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.lanes import busy_seconds


@dataclass(frozen=True)
class DragRequest:
    """A picture and where to drag it.

    Attributes:
        name: Unique in a run; seeds its noise.
        x: The picture, (3, H, W) in [-1, 1].
        prompt: What it shows; may be empty.
        points: Pairs of handle and target, (x, y) in pixels of a picture of ``size``.
        size: (width, height) that ``points`` refer to; None is x's own.
        mask: Where it may change, (1, H, W) in [0, 1]; None or nothing is everywhere.
    """

    name: str
    x: Tensor
    prompt: str
    points: PixelPairs
    size: tuple[int, int] | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class Dragged:
    """What came of a request, on the CPU.

    Attributes:
        x: The dragged picture, (3, H, W) in [-1, 1].
        z: Its latent, (1, C, h, w).
        z_src: The source's latent.
        mask: Where it could change, (1, 1, h, w) of 0 and 1; None is everywhere.
        handles: Pairs of handle and target in cells.
        collapsed: Numbers of the pairs that lie in one cell and did not move.
        drag_steps: How many there were.
        seconds: Spent, without a LoRA's training; of calls made together with others a share.
        nfe: Function evaluations: rows passed through the noise predictor.
        nonfinite: Entries of latents that were NaN or infinite.
        frames: The picture's reconstruction and then after each drag step, (3, H, W) each.
    """

    x: Tensor
    z: Tensor
    z_src: Tensor
    mask: Tensor | None
    handles: tuple[tuple[Cell, Cell], ...]
    collapsed: tuple[int, ...]
    drag_steps: int
    seconds: float
    nfe: int
    nonfinite: int
    frames: tuple[Tensor, ...]


@torch.no_grad()
def drag_item(
    drag: Drag,
    teacher: Teacher,
    request: DragRequest,
    seed: int,
    on_step: Callable[[EditStep], None] | None = None,
) -> Dragged:
    """Drags one picture.

    Args:
        drag: How.
        teacher: By whom; with a LoRA on, see :mod:`i2i_dds.editing.lora_teacher`.
        request: What.
        seed: Of the run; with the request's name it makes the noise.
        on_step: Told of each reverse step.

    Raises:
        UserError: No handle lies in another cell than its target.
    """
    start, before = busy_seconds(teacher), teacher.nfe
    handles, z_src = cells_of(request, teacher.vae_scale_factor), teacher.encode(request.x[None])
    still, drag_steps = collapsed(handles), len(drag.moves(handles))
    text, mask = teacher.embed([request.prompt]), cell_mask(request.mask, teacher.vae_scale_factor)
    generators = item_generators(seed, [request.name])
    z, nonfinite, kept = z_src, 0, [z_src]
    for done in drag(teacher, EditBatch(z_src, text, text, generators, mask), handles):
        z, nonfinite = done.z, nonfinite + done.nonfinite
        if (done.step + 1) * drag_steps % done.steps == 0:
            kept.append(z)
        if on_step is not None:
            on_step(done)
    x = teacher.decode(z)[0].cpu()
    seconds = busy_seconds(teacher) - start
    return Dragged(
        x=x,
        z=z.cpu(),
        z_src=z_src.cpu(),
        mask=None if mask is None else mask.cpu(),
        handles=tuple(handles),
        collapsed=tuple(still),
        drag_steps=drag_steps,
        seconds=seconds,
        nfe=teacher.nfe - before,
        nonfinite=int(nonfinite),
        frames=tuple(teacher.decode(z)[0].cpu() for z in kept),
    )


def cells_of(request: DragRequest, vae_scale_factor: int) -> list[tuple[Cell, Cell]]:
    """Handle and target of each pair in latent cells.

    Args:
        request: What is to be dragged.
        vae_scale_factor: Pixels of its picture along a cell's side.

    Raises:
        UserError: No handle lies in another cell than its target.
    """
    height, width = request.x.shape[-2:]
    latent = width // vae_scale_factor, height // vae_scale_factor
    handles = to_cells(request.points, request.size or (width, height), latent)
    collapsed(handles)
    return handles


def cell_mask(mask: Tensor | None, vae_scale_factor: int) -> Tensor | None:
    """The cells that a mask (1, H, W) touches, (1, 1, h, w) of 0 and 1; None of none."""
    if mask is None or not mask.any():
        return None
    return (F.max_pool2d(mask[None], vae_scale_factor) > 0).to(mask)
