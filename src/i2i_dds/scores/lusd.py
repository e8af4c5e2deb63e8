"""Localized Update Score Distillation (Chinchuthakun et al., ICCV 2025)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.checks import check_fields, checked, flag, number
from i2i_dds.errors import UserError
from i2i_dds.scores.interface import NO_DESCENT, Descent, ScoreInput
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import AttentionMaps, AttentionMapTeacher, Teacher


@dataclass(frozen=True)
class LUSD:
    """A gradient from prompt to prompt, where attention sees the edit, of a planned length.

    With ``d = eps_hat(z_t, y) - eps_hat(z_t, y_src)``, both at the edited latent (the SBP gradient
    of the paper), p the progress of the descent and M the mask in [0, 1]

        r = (1 - lambda_l2) (p M + 1 - p) d + lambda_l2 (z - z_src)
        g = r / std(r) s(p),   s falling from std_start to std_end along a sigmoid;
        g = 0 where std(d) < threshold: such a gradient says too little.

    M is the cross-attention of the target's new words, spread by the self-attention of the same
    pass, stretched to [0, 1], and averaged over the steps with ``momentum``. The steps and the
    numbers are those of the authors' code (github.com/sincostanx/LUSD, colocation/), which steps
    by 0.488 g at 64 x 64 latents, 300 times. Of that code this differs in two points:

    * It draws t and eps again where the gradient is too weak, with a threshold that falls by 1 %
      each time. A score is given t and eps, so here the step is left out.
    * It takes the nouns among the new words. Here all tokens count that the source lacks.

    Where there are none, M is 1. d has no guidance: ``guidance_scale`` and ``text_neg`` are not
    looked at.
    An item costs two rows a step, and a third for the attention.
    Called as :class:`i2i_dds.scores.dds.DDS` is.

    Attributes:
        lambda_l2: Of the pull to the source, in [0, 1].
        std_start: Standard deviation of the first step, above 0.
        std_end: Of the last one, above 0.
        speed: How steep the sigmoid between them is, above 0.
        threshold: Least deviation of d, at least 0.
        momentum: Weight of the newest mask, above 0 and at most 1.
        attention: False is M = 1, for teachers that do not show where they look.
    """

    needs_descent: ClassVar[bool] = True
    guided: ClassVar[bool] = False

    lambda_l2: float = checked(number(min=0, max=1), default=0.02)
    std_start: float = checked(number(above=0), default=0.15)
    std_end: float = checked(number(above=0), default=0.01)
    speed: float = checked(number(above=0), default=5.0)
    threshold: float = checked(number(min=0), default=0.01)
    momentum: float = checked(number(above=0, max=1), default=0.1)
    attention: bool = checked(flag(), default=True)

    def __post_init__(self) -> None:
        check_fields(self)

    @torch.no_grad()
    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """The gradient with respect to z_tgt, (B, C, h, w).

        Raises:
            UserError: There is no descent to follow, or the teacher shows no attention.
        """
        if inputs.descent is None:
            raise UserError(NO_DESCENT.format("LUSD"))
        z, t, progress = inputs.z_tgt, inputs.t, inputs.descent.progress
        z_t = teacher.process.mix(z, inputs.eps, t)
        sides = (inputs.text_src, inputs.text_tgt)
        as_src, as_tgt = predict_guided(teacher, (z_t, z_t), sides, t, guidance_scale=1)
        delta = as_tgt - as_src
        strong = _std(delta) >= self.threshold
        if self.attention and progress > 0:
            mask = self._mask(teacher, z_t, inputs, inputs.descent, strong)
            delta = (progress * mask + (1 - progress)) * delta
        raw = (1 - self.lambda_l2) * delta + self.lambda_l2 * (z - inputs.z_src)
        std = _std(raw)
        unit = raw / torch.where(std > 0, std, 1)
        return torch.where(strong, self.length(progress) * unit, 0)

    def length(self, progress: float) -> float:
        """s(p)."""
        fallen = 1 / (1 + math.exp(-self.speed * (2 * progress - 1)))
        return (1 - fallen) * (self.std_start - self.std_end) + self.std_end

    def _mask(
        self, teacher: Teacher, z_t: Tensor, inputs: ScoreInput, descent: Descent, strong: Tensor
    ) -> Tensor:
        """M, (B, 1, h, w): the running mean, which weak items leave as it was."""
        if not isinstance(teacher, AttentionMapTeacher) or "tokens" not in inputs.text_tgt:
            raise UserError(
                f"score: a {type(teacher).__name__} has no cross-attention to look into; "
                "give score.attention=false, or a Stable Diffusion teacher"
            )
        text_src, text_tgt = (x.expand(len(z_t)) for x in (inputs.text_src, inputs.text_tgt))
        new = ~(text_tgt["tokens"][:, :, None] == text_src["tokens"][:, None]).any(2)
        maps = teacher.attention_maps(z_t, inputs.t, text_tgt)
        fresh = edited_places(maps, new.to(maps.cross.device), z_t.shape[-2:]).to(z_t)
        before = descent.memory.get("lusd_mask", torch.full_like(fresh, math.nan))
        mean = (1 - self.momentum) * before + self.momentum * fresh
        mean = torch.where(before.isnan(), fresh, mean)
        descent.memory["lusd_mask"] = torch.where(strong, mean, before)
        return mean


def edited_places(maps: AttentionMaps, new: Tensor, size: tuple[int, ...]) -> Tensor:
    """The mask M of one pass, (B, 1, h, w) in [0, 1].

    Args:
        maps: What the network looked at, told the target's prompt.
        new: Which tokens count, bool (B, L); an item without any is 1 everywhere.
        size: (h, w).
    """
    weights = new.to(maps.cross) / new.sum(1, keepdim=True).clamp(min=1)
    cross = torch.einsum("blhw,bl->bhw", maps.cross, weights)[:, None]
    cross = F.interpolate(cross, maps.own_size, mode="bicubic")
    spread = (maps.own @ cross.flatten(2).transpose(1, 2)).transpose(1, 2)
    spread = F.interpolate(spread.unflatten(2, maps.own_size), size, mode="bicubic")
    low, high = spread.amin((1, 2, 3), keepdim=True), spread.amax((1, 2, 3), keepdim=True)
    mask = ((spread - low) / torch.where(high > low, high - low, 1)).clamp(0, 1)
    return torch.where(new.any(1).reshape(-1, 1, 1, 1), mask, 1)


def _std(z: Tensor) -> Tensor:
    """An item's own, (B, 1, 1, 1)."""
    return z.flatten(1).std(1).reshape(-1, 1, 1, 1)
