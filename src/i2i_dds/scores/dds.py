"""Delta Denoising Score (Hertz et al., ICCV 2023), of noise predictors and of flows.

A rectified flow noises by ``z_t = (1 - t) z + t eps``, and its network predicts ``v = eps - z``.
Eliminating z or eps between the two,

    eps = z_t + (1 - t) v,        z = z_t - t v,

so that ``eps_hat = z_t + (1 - t) v_hat`` and ``z0_hat = z_t - t v_hat``. Source and target share t
and eps, by which ``z_t - z_src_t = (1 - t) (z - z_src)``. The epsilon form of the gradient is then

    eps_hat_tgt - eps_hat_src = (z_t - z_src_t) + (1 - t) (v_hat_tgt - v_hat_src)
                              = (1 - t) [(v_hat_tgt - v_hat_src) + (z - z_src)].

It differs from the velocity form ``v_hat_tgt - v_hat_src`` by the factor ``1 - t`` and by the term
``z - z_src``. The term is there because a flow's network is told the truth ``v = eps - z``, of
which the sides share eps and not z. Residuals against the truth share all of it:

    (v_hat_tgt - v_tgt) - (v_hat_src - v_src) = (v_hat_tgt - v_hat_src) + (z - z_src)
                                              = w(t) (eps_hat_tgt - eps_hat_src),

with ``w(t) = 1 / (1 - t)``, :func:`i2i_dds.scores.weights.velocity_units`. So DDS with that weight
is the delta of a flow's own residuals. Without ``z - z_src``, the bare difference of velocities
pulls the edit away from the source: where both predictions are right it is ``-(z - z_src)``, and
not 0. FlowEdit asks about another point, ``x_t + (z - z_src)``, where that difference is right
(:mod:`i2i_dds.editing.delta_step`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
    takes_eps_src: ClassVar[bool] = True

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
            guidance_scale=inputs.guidance_scale,
            negative=inputs.text_neg,
            same=(None, inputs.same_source),
            neutral=(False, inputs.neutral_source),
            known=(None, inputs.eps_src),
        )
        return self.weight(process, t, inputs.z_tgt) * (eps_tgt - eps_src)
