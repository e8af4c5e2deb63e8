"""Inpainting with a plain text-to-image teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from i2i_dds.checks import check_fields, checked, choice, integer, number
from i2i_dds.diffusion.randomness import randn
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.editing.sampling import down, straight_path
from i2i_dds.editing.sde import forward_path
from i2i_dds.errors import UserError
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class Inpaint:
    """Draws what is under the mask from noise, the rest held to the noised picture at every step.

    A cell of which the mask touches any part is drawn anew. The teacher was never trained for this,
    so its prior there is wrong, which the SDE mends and the ODE keeps (Nie et al., ICLR 2024,
    section 3.1).

    Attributes:
        sampler: "sde", beside a forward path, or "ode", beside the picture under one noise.
        steps: From noise to picture.
        guidance_scale: Scale of classifier-free guidance.
    """

    sampler: str = checked(choice("sde", "ode"), default="sde")
    steps: int = checked(integer(min=1), default=50)
    guidance_scale: float = checked(number(min=0), default=7.5)

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, teacher: Teacher, batch: EditBatch) -> Iterator[EditStep]:
        """Fills a batch, one step at a time.

        Raises:
            UserError: The batch has no mask.
        """
        if batch.mask is None:
            raise UserError("mask: none is given; inpainting fills the white part of one")
        mask, z = (batch.mask > 0).to(batch.mask), batch.z_src
        pairs = teacher.process.pairs(self.steps)
        up = forward_path if self.sampler == "sde" else straight_path
        path = up(teacher.process, z, pairs, batch.generators)
        y = randn(batch.generators, z.shape[1:], z.dtype, z.device)
        inside = replace(batch, mask=mask)
        return down(teacher, inside, path, pairs, self.sampler, self.guidance_scale, y)
