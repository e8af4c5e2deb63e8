"""Score Distillation Sampling (Poole et al., DreamFusion, ICLR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.weights import Weight, constant
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class SDS:
    """``w(t) (eps_hat(z_t, y, t) - eps)``, DreamFusion's eq. 3 without the image Jacobian.

    Called as :class:`i2i_dds.scores.dds.DDS` is, so that one replaces the other; the source side
    is not looked at.

    Attributes:
        weight: w(t), see :mod:`i2i_dds.scores.weights`.
    """

    weight: Weight = constant

    @torch.no_grad()
    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """The gradient with respect to z_tgt, (B, C, h, w)."""
        process, t, eps = teacher.process, inputs.t, inputs.eps
        (eps_hat,) = predict_guided(
            teacher,
            noisy=(process.mix(inputs.z_tgt, eps, t),),
            texts=(inputs.text_tgt,),
            t=t,
            guidance_scale=inputs.guidance_scale,
            negative=inputs.text_neg,
        )
        return self.weight(process, t, inputs.z_tgt) * (eps_hat - eps)
