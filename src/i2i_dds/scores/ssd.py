"""Stable Score Distillation for text-guided editing (Zhu et al., ICCV 2025)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.checks import check_fields, checked, number
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.weights import Weight, constant
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class SSD:
    """One classifier from the source's prompt to the target's, and a constant null-text branch.

    With ``e(z, y) = eps_hat(z_t, y, t)``, s the guidance scale and 0 the empty prompt

        g = w(t) ( s (e(z_tgt, y_tgt) - e(z_tgt, y_src))                cross-prompt
                 + lambda_trajectory (e(z_tgt, y_src) - e(z_src, 0))     cross-trajectory
                 + lambda_enhancement (e(z_tgt, y_tgt) - e(z_tgt, 0)) )  prompt enhancement
                 + lambda_identity exp(t/T) (z_tgt_t - z_src_t).         identity

    With ``lambda_trajectory = 1`` the first two lines are classifier-free guidance whose negative
    prompt is the source's, minus the source without a prompt. Where the source's prompt is empty
    that is DDS. For a matched pair g is not zero: the source's own prompt is left against none.

    The terms and their order are those of the paper's abstract and of the authors' code
    (github.com/Alex-Zhu1/SSD, sd_ssd_guidance.py). That code, for scenes in 3D, has s = 7.5 and
    lambdas of 2, 11 and 0.15, all of them halved; its last term it has from DreamCatalyst. The
    defaults here leave out what the paper adds for styles and what it has from others: 1, 0 and
    0 are this project's choice. It asks the teacher three or four times, without guidance.

    Called as :class:`i2i_dds.scores.dds.DDS` is. A negative prompt takes the place of the empty
    one.

    Attributes:
        lambda_trajectory: Weight of the second line, at least 0.
        lambda_enhancement: Weight of the third, at least 0; at 0 it is not asked.
        lambda_identity: Weight of the last, at least 0.
        weight: w(t) of all but the last, see :mod:`i2i_dds.scores.weights`.
    """

    lambda_trajectory: float = checked(number(min=0), default=1.0)
    lambda_enhancement: float = checked(number(min=0), default=0.0)
    lambda_identity: float = checked(number(min=0), default=0.0)
    weight: Weight = constant

    def __post_init__(self) -> None:
        check_fields(self)

    @torch.no_grad()
    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """The gradient with respect to z_tgt, (B, C, h, w)."""
        process, t, eps = teacher.process, inputs.t, inputs.eps
        z_tgt_t, z_src_t = process.mix(inputs.z_tgt, eps, t), process.mix(inputs.z_src, eps, t)
        empty = teacher.embed([""]) if inputs.text_neg is None else inputs.text_neg
        like = inputs.text_tgt.embeddings
        empty = empty.to(like.device, like.dtype)
        noisy = [z_tgt_t, z_tgt_t, z_src_t]
        texts = [inputs.text_src, inputs.text_tgt, empty]
        if self.lambda_enhancement:
            noisy, texts = [*noisy, z_tgt_t], [*texts, empty]
        as_src, as_tgt, source, *null = predict_guided(teacher, noisy, texts, t, guidance_scale=1)
        scale = inputs.guidance_scale
        if isinstance(scale, Tensor):
            scale = scale.to(as_tgt).reshape(-1, 1, 1, 1)
        grad = scale * (as_tgt - as_src) + self.lambda_trajectory * (as_src - source)
        if null:
            grad = grad + self.lambda_enhancement * (as_tgt - null[0])
        grad = self.weight(process, t, inputs.z_tgt) * grad
        if self.lambda_identity:
            noise_level = (t.to(z_tgt_t) / len(process)).exp().reshape(-1, 1, 1, 1)
            grad = grad + self.lambda_identity * noise_level * (z_tgt_t - z_src_t)
        return grad
