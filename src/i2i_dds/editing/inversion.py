"""Editing along a recorded path: DDIM inversion and Cycle-SDE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from i2i_dds.checks import check_fields, checked, choice, integer, number
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.editing.path_delta import PathDelta
from i2i_dds.editing.sampling import down
from i2i_dds.editing.sde import forward_path, invert
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class Inversion:
    """Up along a path that knows its way back, down under the target's prompt.

    - "cycle_sde": up by the forward SDE, down beside that path by deltas (Nie et al., ICLR 2024;
      CycleDiffusion, Wu & De la Torre 2023, is the same without a mask). It is the path-delta
      editor on that path, at eta = 1.
    - "ode": up by DDIM inversion under the source's prompt, down by DDIM.
    - "sde": up by the forward SDE, down by a reverse SDE with fresh noise, which forgets the path;
      what the other two are measured against.

    With a mask this is DiffEdit: outside it the latent is the path at every step.

    Attributes:
        sampler: See above.
        steps: Of the whole way from noise to picture; ``strength * steps`` of them are taken.
        strength: How far up, in (0, 1].
        guidance_scale: Of classifier-free guidance on the way down; Cycle-SDE's source has it too.
        guidance_scale_up: Of the way up, "ode" only; above 1 it strays from the way back.
    """

    sampler: str = checked(choice("cycle_sde", "ode", "sde"), default="cycle_sde")
    steps: int = checked(integer(min=1), default=50)
    strength: float = checked(number(above=0, max=1), default=0.6)
    guidance_scale: float = checked(number(min=0), default=7.5)
    guidance_scale_up: float = checked(number(min=0), default=1.0)

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, teacher: Teacher, batch: EditBatch) -> Iterator[EditStep]:
        """Edits a batch, one step at a time."""
        if self.sampler == "cycle_sde":
            return PathDelta(
                "path",
                self.steps,
                self.strength,
                self.guidance_scale,
                guidance_scale_src=None,
                eta=1.0,
            )(teacher, batch)
        pairs = teacher.process.pairs(self.steps, self.strength)
        if self.sampler == "ode":
            path = invert(
                teacher, batch.z_src, batch.text_src, pairs, self.guidance_scale_up, batch.text_neg
            )
        else:
            path = forward_path(teacher.process, batch.z_src, pairs, batch.generators)
        return down(teacher, batch, path, pairs, self.sampler, self.guidance_scale)
