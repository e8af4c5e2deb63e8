"""From pictures and prompts to edited pictures, in batches, with any editor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.automask import AutoMask, FoundMask
from i2i_dds.editing.interface import EditBatch, Editor, EditStep
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.lanes import busy_seconds, run_together
from i2i_dds.teacher.rows import SameRows

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class EditItem:
    """One picture and what it shall become.

    Attributes:
        name: Unique in a run.
        key: Seeds its noise: items with the same key, such as several targets of one picture,
            have the same noise.
        x: The source, (3, H, W) in [-1, 1].
        source: What it shows; may be empty.
        target: What it shall show.
        mask: Where to edit, (1, H, W) in [0, 1]; None is everywhere.
        negative: What guidance leads away from; empty is the empty prompt.
        instruction: What a student is told: a task's name, or an order in words.
    """

    name: str
    key: str
    x: Tensor
    source: str
    target: str
    mask: Tensor | None = None
    negative: str = ""
    instruction: str = ""


@dataclass(frozen=True)
class Point:
    """One item at one step, a line of trajectory.csv.

    Attributes:
        name: The item's.
        step: From 1.
        t: Timestep.
        gradient_norm: Euclidean norm of the gradient.
        distance: Euclidean distance of the latent from the source's.
        batch_nonfinite: Gradient entries of the item's whole batch that were replaced by 0.
    """

    name: str
    step: int
    t: int
    gradient_norm: float
    distance: float
    batch_nonfinite: int


@dataclass(frozen=True)
class Edited:
    """An edited batch, on the CPU.

    Attributes:
        items: What was asked.
        x: The edited pictures, (B, 3, H, W) in [-1, 1].
        z: Their latents, (B, C, h, w).
        seconds: From the pictures to the edited pictures, for each item its share.
        nonfinite: Gradient entries that were replaced by 0.
        trajectory: Every item at every step that it took.
        frames: Pictures on the way, each (B, 3, H, W), the source's reconstruction first.
        found: The masks that were found, where none was given; latent size.
    """

    items: tuple[EditItem, ...]
    x: Tensor
    z: Tensor
    seconds: float
    nonfinite: int
    trajectory: tuple[Point, ...]
    frames: tuple[Tensor, ...] = ()
    found: FoundMask | None = None


def edit_items(
    editor: Editor,
    teacher: Teacher,
    items: Sequence[EditItem],
    seed: int,
    batch_size: int,
    frames: int = 0,
    on_step: Callable[[EditStep], None] | None = None,
    automask: AutoMask | None = None,
) -> Iterator[Edited]:
    """Edits items, those of one size together, ``batch_size`` at a time.

    Args:
        editor: How.
        teacher: By whom.
        items: Pictures whose sides the teacher's VAE allows.
        seed: Of the run; with an item's key it makes the item's noise.
        batch_size: Items a batch, at least 1.
        frames: How many pictures on the way to keep, beside the source's reconstruction.
        on_step: Told of each step.
        automask: Finds the masks of a batch of which no item brings one.

    Yields:
        One :class:`Edited` a batch; equal sizes are in the order of ``items``.
    """
    for batch in batches_of(items, batch_size, lambda item: item.x.shape):
        yield _edit_batch(editor, teacher, batch, seed, frames, on_step, automask)


def edit_queue(
    editor: Editor,
    teacher: Teacher,
    items: Sequence[EditItem],
    seed: int,
    batch_size: int,
    automask: AutoMask | None = None,
    on_step: Callable[[int, int], None] = lambda taken, of: None,
) -> Edited:
    """Edits items that stop when they have gone far enough; others take their places.

    Targets of one picture that follow each other stay together and share what is asked about it.

    Args:
        editor: How; see :func:`stops_early`.
        teacher: By whom.
        items: Pictures of one size.
        seed: As in :func:`edit_items`.
        batch_size: About how many items a call of the network has, at least 1.
        automask: As there.
        on_step: Told how many steps all pictures have taken together, and of how many at most;
            those that one which has stopped is spared count as taken.

    Returns:
        All of them as one batch.
    """
    groups = [
        group[first : first + batch_size]
        for group in (list(same) for _, same in groupby(items, lambda item: item.key))
        for first in range(0, len(group), batch_size)
    ]

    taken = [0] * len(groups)

    def job(number: int, own: Teacher) -> Edited:
        def count(step: EditStep) -> None:
            taken[number] = step.step + 1
            on_step(sum(taken), len(groups) * step.steps)

        group = groups[number]
        (edited,) = edit_items(
            editor, own, group, seed, len(group), on_step=count, automask=automask
        )
        taken[number] = getattr(editor, "steps", taken[number])
        return edited

    width = max(1, batch_size // max(map(len, groups)))
    done = dict(run_together(teacher, [partial(job, n) for n in range(len(groups))], width))
    return _joined([done[number] for number in range(len(groups))])


def _joined(parts: Sequence[Edited]) -> Edited:
    """Batches as one, without the pictures on the way."""
    found = [part.found for part in parts if part.found is not None]
    items = tuple(item for part in parts for item in part.items)
    return Edited(
        items=items,
        x=torch.cat([part.x for part in parts]),
        z=torch.cat([part.z for part in parts]),
        seconds=sum(part.seconds * len(part.items) for part in parts) / len(items),
        nonfinite=sum(part.nonfinite for part in parts),
        trajectory=tuple(point for part in parts for point in part.trajectory),
        found=FoundMask(
            torch.cat([one.mask for one in found]), torch.cat([one.strength for one in found])
        )
        if found
        else None,
    )


def stops_early(editor: Any) -> bool:
    """Whether items may be done before their editor's last step."""
    return getattr(editor, "stop", None) is not None


@torch.no_grad()
def _edit_batch(
    editor: Editor,
    teacher: Teacher,
    items: tuple[EditItem, ...],
    seed: int,
    frames: int,
    on_step: Callable[[EditStep], None] | None,
    automask: AutoMask | None,
) -> Edited:
    start, x = busy_seconds(teacher), torch.stack([item.x for item in items])
    z_src = teacher.encode(x)
    batch = EditBatch(
        z_src,
        teacher.embed([item.source for item in items]),
        teacher.embed([item.target for item in items]),
        item_generators(seed, [item.key for item in items]),
        latent_mask(items, teacher.vae_scale_factor),
        _negative(teacher, items),
        [item.instruction for item in items],
        _same_sources(items, z_src.device),
        all(item.source == item.negative for item in items),
    )
    found = None
    if automask is not None and batch.mask is None:
        # Noise of its own, so that the edit's does not depend on who found the mask.
        keys = [f"automask/{item.key}" for item in items]
        found = automask(teacher, replace(batch, generators=item_generators(seed, keys)))
    if found is not None:
        batch = replace(batch, mask=found.mask)
    z, taken, kept = z_src, [], [z_src]
    for step in editor(teacher, batch):
        z = step.z
        taken.append(replace(step, z=z.new_empty(0)))  # its numbers, read when all is done
        if frames * (step.step + 1) // step.steps > frames * step.step // step.steps:
            kept.append(z)
        if on_step is not None:
            on_step(step)
    edited = teacher.decode(z).cpu()
    points = tuple(point for step in taken for point in _points(items, step))
    seconds = (busy_seconds(teacher) - start) / len(items)
    pictures = tuple(teacher.decode(z).cpu() for z in kept) if frames else ()
    if found is not None:
        found = FoundMask(found.mask.cpu(), found.strength.cpu())
    return Edited(
        items=items,
        x=edited,
        z=z.cpu(),
        seconds=seconds,
        nonfinite=sum(int(step.nonfinite) for step in taken),
        trajectory=points,
        frames=pictures,
        found=found,
    )


def latent_mask(items: Sequence[EditItem], vae_scale_factor: int) -> Tensor | None:
    """The items' masks at latent size, (B, 1, h, w): the share of each cell that may change."""
    if all(item.mask is None for item in items):
        return None
    masks = [torch.ones_like(item.x[:1]) if item.mask is None else item.mask for item in items]
    return F.avg_pool2d(torch.stack(masks), vae_scale_factor)


def _same_sources(items: Sequence[EditItem], device: torch.device) -> SameRows | None:
    """Items of the same picture and noise that are told the same of it."""
    told = [(item.key, item.source, item.negative) for item in items]
    alike = [
        next(
            first
            for first, other in enumerate(items)
            if told[first] == words and torch.equal(other.x, item.x)
        )
        for item, words in zip(items, told, strict=True)
    ]
    return SameRows.of(alike, device)


def _negative(teacher: Teacher, items: Sequence[EditItem]) -> Conditioning | None:
    """None where all are empty: guidance then has the empty prompt, once for all."""
    prompts = [item.negative for item in items]
    return teacher.embed(prompts) if any(prompts) else None


def batches_of(
    things: Sequence[Thing], batch_size: int, size: Callable[[Thing], Any]
) -> Iterator[tuple[Thing, ...]]:
    """Things of one size together, ``batch_size`` at a time; those of a size keep their order."""
    for _, group in groupby(sorted(things, key=size), key=size):
        same = tuple(group)
        for first in range(0, len(same), batch_size):
            yield same[first : first + batch_size]


def _points(items: Sequence[EditItem], done: EditStep) -> list[Point]:
    active = [True] * len(items) if done.active is None else done.active.tolist()
    nonfinite = int(done.nonfinite)
    columns = active, done.t.tolist(), done.gradient_norm.tolist(), done.distance.tolist()
    return [
        Point(item.name, done.step + 1, t, norm, distance, nonfinite)
        for item, took, t, norm, distance in zip(items, *columns, strict=True)
        if took
    ]
