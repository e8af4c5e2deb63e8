"""FlowEdit: the delta of two ODE steps, beside a source that is noised afresh at every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.checks import check_fields, checked, choice, integer, number
from i2i_dds.diffusion.ddim import DDIMCoefficients
from i2i_dds.diffusion.process import CLEAN
from i2i_dds.diffusion.randomness import randn
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.editing.sampling import edit_steps
from i2i_dds.editing.sde import SamplerStep
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class FlowEdit:
    """FlowEdit (Kulikov et al., ICCV 2025), of flows and of noise predictors.

    With ``x_t = (1 - t) z_src + t eps`` under fresh noise and ``d = y_t - x_t`` the paper steps

        d <- d + (t' - t) (v(x_t + d, y_tgt) - v(x_t, y_src)).

    As ``v = (eps_hat - z_t) / (1 - t)``, this is

        d <- (1 - t') / (1 - t) d + (t' - t) / (1 - t) (eps_hat(y_t) - eps_hat(x_t)),

    which is the step of DDIM (eta = 0) on both sides, the one less the other:

        d <- coef_z d + coef_eps (eps_hat(y_t) - eps_hat(x_t)).

    So it holds for every process, and the last bracket is the gradient of DDS. Cycle-SDE is the
    same with the noise of a recorded path, and eta = 1.

    Attributes:
        noise: "fresh", drawn at every step, as the paper has it, or "one" for all steps.
        steps: Of the whole way from noise to picture; ``t0 * steps`` of them are taken.
        t0: How far up it begins, in (0, 1]; the paper's n_max over its T.
        guidance: Scale of classifier-free guidance of the target.
        guidance_src: Of the source. Where it equals ``guidance``, a matched pair stays as it is, to
            the bit.
        noises: Draws over which a step averages; the paper's n_avg.
    """

    noise: str = checked(choice("fresh", "one"), default="fresh")
    steps: int = checked(integer(min=1), default=50)
    t0: float = checked(number(above=0, max=1), default=0.66)
    guidance: float = checked(number(min=0), default=13.5)
    guidance_src: float = checked(number(min=0), default=3.5)
    noises: int = checked(integer(min=1), default=1)

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, teacher: Teacher, batch: EditBatch) -> Iterator[EditStep]:
        """Edits a batch, one step at a time."""
        pairs = teacher.process.pairs(self.steps, self.t0)
        return edit_steps(batch, len(pairs), self._run(teacher, batch, pairs))

    def _run(
        self, teacher: Teacher, batch: EditBatch, pairs: list[tuple[int, int]]
    ) -> Iterator[SamplerStep]:
        z = batch.z_src
        mask = None if batch.mask is None else batch.mask.to(z)
        noise, d = self._draws(batch), torch.zeros_like(z)
        for number_of_step, (t, t_prev) in enumerate(pairs):
            if self.noise == "fresh" and number_of_step > 0:
                noise = self._draws(batch)
            found = [self._difference(teacher, batch, d, t, eps) for eps in noise]
            delta = torch.stack(found).mean(0)
            step, jump = (DDIMCoefficients.of(teacher.process, t, u, 0.0) for u in (t_prev, CLEAN))
            clean, d = (by.coef_z * d + by.coef_eps * delta for by in (jump, step))
            if mask is not None:
                clean, d = clean * mask, d * mask
            yield SamplerStep(step, z + d, z + clean, delta)

    def _draws(self, batch: EditBatch) -> list[Tensor]:
        z = batch.z_src
        shape = (self.noises, *z.shape[1:])
        return list(randn(batch.generators, shape, z.dtype, z.device).unbind(1))

    def _difference(
        self, teacher: Teacher, batch: EditBatch, d: Tensor, t: int, eps: Tensor
    ) -> Tensor:
        """``eps_hat(y_t) - eps_hat(x_t)`` under one draw of noise, (B, C, h, w)."""
        x = teacher.process.mix(batch.z_src, eps, t)
        rows = torch.full((len(x),), t)
        noisy, texts = [x + d, x], [batch.text_tgt, batch.text_src]
        if self.guidance == self.guidance_src:
            eps_y, eps_x = predict_guided(
                teacher, noisy, texts, rows, self.guidance, batch.text_neg
            )
            return eps_y - eps_x
        (eps_y,), (eps_x,) = (
            predict_guided(teacher, [z_t], [text], rows, scale, batch.text_neg)
            for z_t, text, scale in zip(
                noisy, texts, (self.guidance, self.guidance_src), strict=True
            )
        )
        return eps_y - eps_x
