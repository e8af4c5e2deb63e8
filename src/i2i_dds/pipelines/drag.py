"""Dragging in a few lines of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from i2i_dds.checks import (
    called,
    check_fields,
    checked,
    choice,
    integer,
    number,
    optional,
    require,
    several,
    text,
)
from i2i_dds.data.dragbench import DragItem, check_points
from i2i_dds.data.images import fit as fit_image
from i2i_dds.data.images import fit_mask, to_tensor
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.drag_items import Dragged, DragRequest, cells_of, drag_item
from i2i_dds.editing.interface import EditStep
from i2i_dds.editing.lora import LoraSettings, OnStep
from i2i_dds.editing.lora_cache import KeptLora, lora_for
from i2i_dds.editing.lora_teacher import CosineScale, LoraTeacher
from i2i_dds.errors import UserError
from i2i_dds.pipelines.editors import AS_ARGUMENTS
from i2i_dds.pipelines.pictures import Picture, Size, key_of, open_mask, open_picture, restore
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.load import load_teacher

Points = Sequence[Sequence[float]] | Sequence[Sequence[Sequence[float]]]
"""For each handle (x, y, target x, target y), or a pair (x, y), (x, y), in the picture's pixels."""


@dataclass(frozen=True)
class PictureLora:
    """How the teacher learns a picture before it drags it.

    Attributes:
        settings: Of the training.
        folder: Where adapters are kept and found again.
        high: Scale of the adapter at t = 0.
        low: Scale at the timestep where the way back begins; half a cosine between.
    """

    settings: LoraSettings
    folder: str | Path
    high: float = checked(number(min=0), default=1.0)
    low: float = checked(number(min=0), default=0.5)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class DragOutput:
    """A dragged picture.

    Attributes:
        images: The dragged picture, alone.
        latents: Its latent, (C, h, w), on the CPU, alone.
        frames: The picture's reconstruction, and then after each drag step.
        dragged: All that was counted on the way.
        lora: The adapter that was used, trained now or before; None of none.
        settings: What was run.
    """

    images: tuple[Image.Image, ...]
    latents: tuple[Tensor, ...]
    frames: tuple[Image.Image, ...]
    dragged: Dragged
    lora: KeptLora | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def request_of(item: DragItem, teacher: Teacher, size: Size, mode: str) -> DragRequest:
    """An item as a request, its picture and mask at a size that the teacher takes.

    Args:
        item: What to drag.
        teacher: Who drags.
        size: To be worked at; None is the picture's own.
        mode: "auto" and "resize" stretch a picture of another size, "error" refuses it.

    Raises:
        UserError: The picture is of another size and may not be resized, or nothing is left of
            the mask at its new size.
    """
    mode = "resize" if mode == "auto" else mode
    picture = fit_image(item.image, teacher.vae_scale_factor, size, mode)
    mask = None if item.mask is None else fit_mask(item.mask, teacher.vae_scale_factor, size, mode)
    return DragRequest(
        name=item.name,
        x=to_tensor(picture),
        prompt=item.prompt,
        points=item.points,
        size=item.image.size,
        mask=None if mask is None else to_tensor(mask),
    )


def first_timestep(drag: Drag, teacher: Teacher) -> int:
    """Where the way back begins.

    Raises:
        UserError: The teacher's schedule has no such steps; asked before anything is trained.
    """
    return teacher.process.pairs(drag.steps, drag.strength)[0][0]


def drag_picture(
    drag: Drag,
    teacher: Any,
    request: DragRequest,
    seed: int,
    lora: PictureLora | None = None,
    on_step: Callable[[EditStep], None] | None = None,
    on_lora_step: OnStep | None = None,
) -> tuple[Dragged, KeptLora | None]:
    """Drags one picture, with a teacher that has learned it first where ``lora`` says how.

    Args:
        drag: The sampler and its settings.
        teacher: Who drags; one of diffusers' make where there is a LoRA.
        request: What to drag.
        seed: Of the run; with the request's name it makes the noise.
        lora: None drags with the plain teacher.
        on_step: Told of each reverse step.
        on_lora_step: Told of each step of the training.

    Raises:
        UserError: The teacher has no such steps, no handle lies in another cell than its target,
            or the adapter cannot be kept.
    """
    end = first_timestep(drag, teacher)
    cells_of(request, teacher.vae_scale_factor)  # before minutes of training for nothing
    if lora is None:
        return drag_item(drag, teacher, request, seed, on_step), None
    kept = lora_for(teacher, request.x, request.prompt, lora.settings, lora.folder, on_lora_step)
    scale = CosineScale(lora.high, lora.low, max(1, end))
    with LoraTeacher(teacher, kept.file, scale) as learned:
        return drag_item(drag, learned, request, seed, on_step), kept


class DragPipeline:
    """SDE-Drag (Nie et al., ICLR 2024) on one picture.

    ::

        pipe = DragPipeline.from_pretrained("pocket")
        out = pipe("bear.png", "a polar bear", [[145, 216, 146, 144]])
        out.images[0].save("dragged.png")

    What is not given is the teacher's preset.

    Args:
        teacher: Who drags.
    """

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    @classmethod
    def from_pretrained(cls, path: str = "pocket", **options: Any) -> DragPipeline:
        """Loads the teacher.

        Args:
            path: "pocket", a folder in diffusers' layout, or a hub id.
            **options: Such as ``device`` and ``dtype``, see :func:`load_teacher`.

        Raises:
            UserError: Nothing usable is there.
        """
        return cls(load_teacher(path, **options))

    def __call__(
        self,
        image: Picture,
        prompt: str,
        points: Points,
        *,
        mask: Picture | None = None,
        sampler: str = "cycle_sde",
        order: str = "simultaneous",
        num_inference_steps: int | None = None,
        strength: float | None = None,
        radius: int | None = None,
        drag_step: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        guidance_scale: float | None = None,
        guidance_scale_end: float | None = None,
        use_lora: bool = True,
        lora_settings: LoraSettings | Mapping[str, Any] | None = None,
        lora_dir: str | Path | None = None,
        size: Size = None,
        fit: str = "auto",
        seed: int = 0,
        callback: Callable[[EditStep], None] | None = None,
        lora_callback: OnStep | None = None,
    ) -> DragOutput:
        """Drags every handle to its target.

        Args:
            image: See :data:`i2i_dds.pipelines.pictures.Picture`.
            prompt: What it shows; may be empty.
            points: Handles and targets, see :data:`Points`.
            mask: Where it may change (white); None is everywhere.
            sampler: "cycle_sde", the paper's; "sde"; "ode", its baseline.
            order: "simultaneous" or "sequential".
            num_inference_steps: Of the whole way from noise to picture; None is the teacher's
                preset, as for those that follow.
            strength: How far up, in (0, 1].
            radius: Of the square that moves, in latent cells.
            drag_step: Cells that a handle goes at a time.
            alpha: What the square is multiplied with where it is pasted.
            beta: What is left of it where it was, in [0, 1].
            guidance_scale: Of classifier-free guidance at t = 0.
            guidance_scale_end: The same at ``strength``; linear between.
            use_lora: Whether the teacher learns the picture first.
            lora_settings: How; of a mapping such as ``{"rank": 8}`` the rest is the teacher's
                preset, and None is that.
            lora_dir: Where adapters are kept and found again; None keeps none.
            size: At which the picture is dragged; None is its own, or the nearest the VAE allows.
            fit: "auto" gives the result the picture's own size; "resize" leaves it at the size it
                was dragged at; "error" refuses a size the VAE does not allow.
            seed: With the picture's file name it makes the noise.
            callback: Told of each reverse step.
            lora_callback: Told of each step in which the teacher learns the picture.

        Raises:
            UserError: An argument is not allowed; the message names it.
        """
        require("fit", fit, choice("auto", "resize", "error"))
        require("seed", seed, integer(min=0))
        require("size", size, optional(several(integer(min=1))))
        require("prompt", prompt, text(empty=True))
        presets = self.teacher.presets
        picture = open_picture(image)
        item = DragItem(
            name=Path(key_of(image, 0)).stem,
            image=picture,
            mask=None if mask is None else open_mask(mask, picture.size),
            prompt=prompt,
            points=check_points(_rows(points), picture.size),
        )
        given = {
            "steps": num_inference_steps,
            "strength": strength,
            "radius": radius,
            "drag_step": drag_step,
            "alpha": alpha,
            "beta": beta,
            "guidance_scale": guidance_scale,
            "guidance_scale_end": guidance_scale_end,
        }
        asked = {key: value for key, value in given.items() if value is not None}
        settings = {**presets["drag"], **asked, "sampler": sampler, "order": order}
        with called(AS_ARGUMENTS):
            drag = Drag(**settings)
        request = request_of(item, self.teacher, size, fit)
        with _adapters(lora_dir) as folder:
            learns = _lora_settings(lora_settings, presets["lora"])
            lora = PictureLora(learns, folder) if use_lora else None
            dragged, kept = drag_picture(
                drag, self.teacher, request, seed, lora, callback, lora_callback
            )
        height, width = request.x.shape[-2:]
        own = picture.size if fit == "auto" else (width, height)
        pictures = [restore(x, own) for x in (dragged.x, *dragged.frames)]
        return DragOutput(
            images=(pictures[0],),
            latents=(dragged.z[0],),
            frames=tuple(pictures[1:]),
            dragged=dragged,
            lora=kept,
            settings={**settings, "use_lora": use_lora, "seed": seed},
        )


def _lora_settings(given: Any, presets: Mapping[str, Any]) -> LoraSettings:
    if isinstance(given, LoraSettings):
        return given
    known = {one.name for one in fields(LoraSettings)}
    for name in given or {}:
        if name not in known:
            raise UserError(
                f"lora_settings: {name!r} is not allowed; give some of {', '.join(sorted(known))}"
            )
    return LoraSettings(**{**presets, **(given or {})})


def _rows(points: Any) -> Any:
    """Points as rows of four numbers; what is of no such shape stays as it is, to be refused."""
    try:
        array = np.asarray(points, dtype=float)
    except (TypeError, ValueError):
        return points
    shaped = (
        array.ndim == 2 and array.shape[1:] == (4,) or array.ndim == 3 and array.shape[1:] == (2, 2)
    )
    return array.reshape(len(array), 4).tolist() if shaped else points


@contextmanager
def _adapters(folder: str | Path | None) -> Iterator[str | Path]:
    """The folder of adapters; without one they are gone when the drag is done."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory(prefix="i2i_dds-lora-") as temporary:
        yield temporary
