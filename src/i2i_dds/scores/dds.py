"""Delta Denoising Score (Hertz et al., ICCV 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.weights import Weight, constant
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class DDS:
    """``w(t) (eps_hat(z_t, y, t) - eps_hat(z_src_t, y_src, t))``, the paper's eq. 3.

    Both sides share t and eps, so what the teacher would say about any picture cancels and the
    edit is left. Equal to SDS of the target minus SDS of the source.

    Attributes:
        weight: w(t), see :mod:`i2i_dds.scores.weights`.
    """

    weight: Weight = constant

    @torch.no_grad()
    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """The gradient with respect to z_tgt, (B, C, h, w)."""
        process, t, eps = teacher.process, inputs.t, inputs.eps
        z_tgt_t = process.mix(inputs.z_tgt, eps, t)
        z_src_t = process.mix(inputs.z_src, eps, t)
        eps_tgt, eps_src = predict_guided(
            teacher,
            noisy=(z_tgt_t, z_src_t),
            texts=(inputs.text_tgt, inputs.text_src),
            t=t,
            guidance=inputs.guidance_scale,
            negative=inputs.text_neg,
        )
        return self.weight(process, t, inputs.z_tgt) * (eps_tgt - eps_src)
