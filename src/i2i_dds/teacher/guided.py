"""The one batched call: {source, target, ...} x {unconditional, conditional} in a single pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from i2i_dds.diffusion.guidance import classifier_free_guidance
from i2i_dds.teacher.interface import Teacher


@torch.no_grad()
def predict_guided(
    teacher: Teacher,
    noisy: Sequence[Tensor],
    texts: Sequence[Tensor],
    t: Tensor,
    guidance: float | Tensor,
    negative: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Guided noise predictions of several branches, from one forward pass of the teacher.

    Rows of one batch that are equal come out bit-identical, which is what makes the delta of a
    matched pair exactly zero. With the number 1 as guidance the unconditional half is not asked.

    Args:
        teacher: Who answers.
        noisy: One tensor of noisy latents per branch, each (B, C, h, w).
        texts: One tensor of embeddings per branch, each (B, L, D) or (1, L, D).
        t: Timesteps shared by all branches, long (B,).
        guidance: Scale s, one number or (B,).
        negative: Embedding of the unconditional side, (B, L, D) or (1, L, D); None is "".

    Returns:
        One tensor (B, C, h, w) per branch.
    """
    if len(noisy) != len(texts):
        raise ValueError(f"{len(noisy)} branches of latents but {len(texts)} of texts")
    branches, batch = len(noisy), len(noisy[0])
    z_t = torch.cat([*noisy])
    cond = torch.cat([text.expand(batch, -1, -1) for text in texts])
    t_all = t.to(z_t.device).repeat(branches)
    if not isinstance(guidance, Tensor) and guidance == 1:
        return teacher.predict_noise(z_t, t_all, cond).chunk(branches)

    empty = teacher.embed([""]) if negative is None else negative
    uncond = empty.to(cond).expand(batch, -1, -1).repeat(branches, 1, 1)
    eps = teacher.predict_noise(
        torch.cat([z_t, z_t]), torch.cat([t_all, t_all]), torch.cat([uncond, cond])
    )
    eps_uncond, eps_cond = eps.chunk(2)
    scale = guidance.repeat(branches) if isinstance(guidance, Tensor) else guidance
    return classifier_free_guidance(eps_uncond, eps_cond, scale).chunk(branches)
