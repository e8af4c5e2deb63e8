"""Score Distillation Sampling with an L2 term to the source."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.checks import check_fields, checked, number
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.weights import Weight, constant
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class SDSL2:
    """``w(t) (eps_hat(z_t, y, t) - eps) + lambda_l2 (z - z_src)``.

    The gradient of SDS's loss plus ``lambda_l2 / 2 ||z - z_src||^2``: the plain way to keep what
    SDS would lose, and what DDS is to be measured against. The L2 term holds everything, the part
    that shall change too, and does not look at the teacher, so w(t) does not weigh it.

    Called as :class:`i2i_dds.scores.dds.DDS` is.

    Attributes:
        lambda_l2: Weight of the L2 term, at least 0; descent with step lr is stable while
            ``lr lambda_l2 < 2``.
        weight: w(t) of the SDS part, see :mod:`i2i_dds.scores.weights`.
    """

    lambda_l2: float = checked(number(min=0))
    weight: Weight = constant

    def __post_init__(self) -> None:
        check_fields(self)

    @torch.no_grad()
    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """The gradient with respect to z_tgt, (B, C, h, w)."""
        sds = SDS(self.weight)(teacher, inputs)
        return sds + self.lambda_l2 * (inputs.z_tgt - inputs.z_src)
