"""What the pipelines share: pictures of a call to items, and edited items to what it returns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from i2i_dds.checks import as_list, choice, integer, optional, require, several, text
from i2i_dds.editing.batches import Edited
from i2i_dds.editing.interface import EditStep
from i2i_dds.errors import UserError
from i2i_dds.pipelines.output import EditOutput
from i2i_dds.pipelines.pictures import (
    Picture,
    Size,
    key_of,
    one_for_each,
    open_mask,
    open_picture,
)
from i2i_dds.pipelines.prepared import PictureItem, Words, prepare
from i2i_dds.progress import Update, progress_bar

log = logging.getLogger(__name__)


def check_call(size: Size, fit: str, batch_size: int) -> None:
    """Checks what every call takes.

    Raises:
        UserError: One is not allowed.
    """
    require("batch_size", batch_size, integer(min=1))
    require("size", size, optional(several(integer(min=1))))
    require("fit", fit, choice("auto", "resize", "crop", "error"))


def prepare_all(
    images: Picture | Sequence[Picture],
    edits: Sequence[Sequence[Words]],
    mask: Any,
    vae_scale_factor: int,
    size: Size,
    fit: str,
    sources: Sequence[str] = ("",),
    negatives: Sequence[str] = ("",),
) -> list[PictureItem]:
    """Every picture for every edit: all edits of the first picture, and so on.

    Args:
        images: One picture or a list.
        edits: What is asked of the pictures, one list for all or one for each; the two prompts
            that follow are filled in.
        mask: None, one for all, or one for each picture.
        vae_scale_factor: Pixels along a latent cell's side.
        size: See :func:`i2i_dds.pipelines.prepared.prepare`.
        fit: See there.
        sources: What the pictures show: one for all, or one for each.
        negatives: What guidance leads away from: one for all, or one for each.

    Raises:
        UserError: There is no picture, one is unreadable or does not fit its mask, or the lists
            differ in length.
    """
    pictures = as_list(images)
    if not pictures:
        raise UserError("images: an empty list; give a picture, or a list of them")
    for argument, prompts in (("source", sources), ("negative_prompt", negatives)):
        for words in prompts:
            require(argument, words, text(empty=True))
    shows = one_for_each(sources, len(pictures), "source")
    avoids = one_for_each(negatives, len(pictures), "negative_prompt")
    wanted = one_for_each(edits, len(pictures), "target")
    masks = one_for_each(as_list(mask), len(pictures), "mask")
    items: list[PictureItem] = []
    for number, picture in enumerate(pictures):
        opened = open_picture(picture)
        held = None if masks[number] is None else open_mask(masks[number], opened.size)
        if held is not None and not held.getbbox():
            log.warning("mask: all of number %d is black, so everything may change", number)
        for edit in wanted[number]:
            words = Words(shows[number], edit.target, avoids[number], edit.instruction)
            items.append(
                prepare(
                    name=str(len(items)),
                    key=key_of(picture, number),
                    picture=opened,
                    words=words,
                    mask=held,
                    vae_scale_factor=vae_scale_factor,
                    size=size,
                    fit_mode=fit,
                )
            )
    return items


def collect(
    prepared: Sequence[PictureItem],
    done: Sequence[Edited],
    editor: Any,
    settings: Mapping[str, Any],
) -> EditOutput:
    """Edited batches as one output, in the order of ``prepared``."""
    images, latents, history, masks = {}, {}, {}, {}
    asked = {one.item.name: one for one in prepared}
    for edited in done:
        for i, item in enumerate(edited.items):
            images[item.name] = asked[item.name].image(edited.x[i], editor)
            latents[item.name] = edited.z[i]
            history[item.name] = tuple(p for p in edited.trajectory if p.name == item.name)
            if edited.found is not None:
                masks[item.name] = edited.found.mask[i]
    return EditOutput(
        images=tuple(images[name] for name in asked),
        latents=tuple(latents[name] for name in asked),
        history=tuple(history[name] for name in asked),
        masks=tuple(masks[name] for name in asked) if masks else (),
        settings=settings,
        nonfinite=sum(edited.nonfinite for edited in done),
    )


@contextmanager
def bar(
    wanted: bool, count: int, callback: Callable[[EditStep], None] | None = None
) -> Iterator[Callable[[EditStep], None] | None]:
    """``callback``, and a bar that follows it where one is wanted."""
    if not wanted:
        yield callback
        return
    with progress_bar(f"Editing {count}") as update:
        follow = _follow_steps(update, count)

        def on_step(step: EditStep) -> None:
            follow(step)
            if callback is not None:
                callback(step)

        yield on_step


def _follow_steps(update: Update, count: int) -> Callable[[EditStep], None]:
    """What tells a bar how far the edit of ``count`` pictures is, batch after batch."""
    finished = current = 0

    def on_step(step: EditStep) -> None:
        nonlocal finished, current
        if step.step == 0:
            finished, current = finished + current, len(step.z)
        update(finished * step.steps + current * (step.step + 1), count * step.steps)

    return on_step
