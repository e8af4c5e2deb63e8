"""What every editor takes and yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Generator, Tensor

from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.rows import SameRows


@dataclass(frozen=True)
class EditBatch:
    """B items to edit at once.

    Attributes:
        z_src: Latents of the source pictures, (B, C, h, w).
        text_src: What the source's prompts say, of B rows or one.
        text_tgt: What the target's prompts say, of B rows or one.
        generators: One per item; all of its chance comes from it.
        mask: Where to edit, (B or 1, 1, h, w) in [0, 1]; None is everywhere.
        text_neg: What guidance leads away from, of B rows or one; None is the empty prompt.
        instructions: What a student is told of each item: a task's name, or an order in words;
            empty of editors that read prompts.
        same_source: Items of one picture, told the same of it, that draw the same noise, as several
            targets of a picture do; None where none do.
        neutral_source: Whether the source's prompts are those that guidance leads away from, as
            empty ones are where there is no negative prompt.
    """

    z_src: Tensor
    text_src: Conditioning
    text_tgt: Conditioning
    generators: Sequence[Generator]
    mask: Tensor | None = None
    text_neg: Conditioning | None = None
    instructions: Sequence[str] = ()
    same_source: SameRows | None = None
    neutral_source: bool = False


@dataclass(frozen=True)
class EditStep:
    """A batch after one step of its editor.

    Attributes:
        step: Number of the step, from 0.
        steps: How many there are to be.
        z: Edited latents as they are now, without noise, (B, C, h, w).
        t: The step's timesteps, long (B,).
        gradient_norm: Euclidean norm of each item's gradient or, of samplers, of the difference of
            both sides' predictions, (B,); NaN of a sampler without a source.
        distance: Euclidean distance of each item from its source latent, (B,).
        nonfinite: Entries of the batch's gradient that were NaN or infinite and count as 0; of
            samplers, entries of z that have become so. A number () where z is: to read it each step
            would have the host wait for the device.
        active: Which items this step was taken by, bool (B,); the others had stopped before it.
            None is all of them.
    """

    step: int
    steps: int
    z: Tensor
    t: Tensor
    gradient_norm: Tensor
    distance: Tensor
    nonfinite: Tensor
    active: Tensor | None = None


@dataclass(frozen=True)
class EditResult:
    """A batch when its editor is done.

    Attributes:
        z: Edited latents, (B, C, h, w).
        steps: Steps taken.
        nonfinite: Replaced gradient entries of all steps.
    """

    z: Tensor
    steps: int
    nonfinite: int


class Editor(Protocol):
    """Settings of one way to edit."""

    def __call__(self, teacher: Teacher, batch: EditBatch) -> Iterator[EditStep]:
        """Edits a batch, one step at a time."""
        ...


def finish(steps: Iterable[EditStep]) -> EditResult:
    """Runs an editor to its end."""
    count, nonfinite, z = 0, 0, None
    for done in steps:
        count, nonfinite, z = count + 1, nonfinite + done.nonfinite, done.z
    if z is None:
        raise ValueError("the editor took no step")
    return EditResult(z, count, int(nonfinite))
