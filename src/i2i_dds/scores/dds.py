"""Delta Denoising Score (Hertz et al., ICCV 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.scores.gradient import Gradient, finite, masked
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
    def __call__(
        self,
        teacher: Teacher,
        z: Tensor,
        z_src: Tensor,
        text: Tensor,
        text_src: Tensor,
        t: Tensor,
        eps: Tensor,
        guidance: float | Tensor,
        mask: Tensor | None = None,
        negative: Tensor | None = None,
    ) -> Gradient:
        """The gradient with respect to z.

        Args:
            teacher: The frozen noise predictor.
            z: Edited latents, (B, C, h, w).
            z_src: Source latents, (B, C, h, w).
            text: Target embeddings, (B, L, D) or (1, L, D).
            text_src: Source embeddings, (B, L, D) or (1, L, D).
            t: Timesteps, long (B,).
            eps: Noise, (B, C, h, w).
            guidance: Scale s, one number or (B,).
            mask: Where to edit, (B or 1, 1, h, w) in [0, 1].
            negative: Embedding of the unconditional side; None is the empty prompt.
        """
        schedule = teacher.schedule
        noisy = schedule.add_noise(z, eps, t), schedule.add_noise(z_src, eps, t)
        eps_tgt, eps_src = predict_guided(teacher, noisy, (text, text_src), t, guidance, negative)
        delta = finite(self.weight(schedule, t, z) * (eps_tgt - eps_src))
        return delta if mask is None else Gradient(masked(delta.value, mask), delta.nonfinite)
