"""Score Distillation Sampling (Poole et al., DreamFusion, ICLR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.scores.gradient import Gradient, finite, masked
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
    def __call__(
        self,
        teacher: Teacher,
        z: Tensor,
        z_src: Tensor | None,
        text: Tensor,
        text_src: Tensor | None,
        t: Tensor,
        eps: Tensor,
        guidance: float | Tensor,
        mask: Tensor | None = None,
        negative: Tensor | None = None,
    ) -> Gradient:
        """The gradient with respect to z; arguments as those of DDS."""
        schedule = teacher.schedule
        noisy = (schedule.add_noise(z, eps, t),)
        (eps_hat,) = predict_guided(teacher, noisy, (text,), t, guidance, negative)
        grad = finite(self.weight(schedule, t, z) * (eps_hat - eps))
        return grad if mask is None else Gradient(masked(grad.value, mask), grad.nonfinite)
