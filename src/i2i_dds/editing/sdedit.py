"""SDEdit: noise the picture part of the way, draw it again under the target's prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from i2i_dds.checks import check_fields, checked, choice, integer, number
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.editing.sampling import down, straight_path
from i2i_dds.editing.sde import forward_path
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class SDEdit:
    """SDEdit (Meng et al., ICLR 2022); the source prompt is not looked at.

    Attributes:
        sampler: "sde", up by the forward SDE and down by the reverse one, or "ode", up by one noise
            and down by DDIM.
        steps: Of the whole way from noise to picture; ``strength * steps`` of them are taken.
        strength: How far up, in (0, 1]: the larger, the more changes.
        guidance_scale: Scale of classifier-free guidance.
    """

    sampler: str = checked(choice("sde", "ode"), default="sde")
    steps: int = checked(integer(min=1), default=50)
    strength: float = checked(number(above=0, max=1), default=0.6)
    guidance_scale: float = checked(number(min=0), default=7.5)

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, teacher: Teacher, batch: EditBatch) -> Iterator[EditStep]:
        """Edits a batch, one step at a time."""
        pairs = teacher.process.pairs(self.steps, self.strength)
        up = forward_path if self.sampler == "sde" else straight_path
        path = up(teacher.process, batch.z_src, pairs, batch.generators)
        return down(teacher, batch, path, pairs, self.sampler, self.guidance_scale)
