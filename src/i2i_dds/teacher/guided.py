"""The one batched call: {source, target, ...} x {unconditional, conditional} in a single pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from i2i_dds.diffusion.guidance import classifier_free_guidance
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import DifferentiableTeacher, Teacher


@torch.no_grad()
def predict_guided(
    teacher: Teacher,
    noisy: Sequence[Tensor],
    texts: Sequence[Conditioning],
    t: Tensor,
    guidance_scale: float | Tensor,
    negative: Conditioning | None = None,
) -> tuple[Tensor, ...]:
    """Guided noise predictions of several branches, from one forward pass of the teacher.

    Where an item asks the same in two branches it gets one answer for both, to the bit, which is
    what makes the delta of a matched pair exactly zero. (Equal rows of a batch mostly come out so
    by themselves, but a kernel that shares rows out among threads may round them differently.)
    The unconditional half is the empty prompt, or a negative one, the same in all branches. With
    the number 1 as guidance it is not asked.

    Args:
        teacher: Who answers.
        noisy: One tensor of noisy latents per branch, each (B, C, h, w).
        texts: What each branch is told, of B rows or one.
        t: Timesteps shared by all branches, long (B,).
        guidance_scale: Scale s, one number or (B,).
        negative: What guidance leads away from, of B rows or one; None is the empty prompt.

    Returns:
        One tensor (B, C, h, w) per branch.
    """
    return _predict(teacher, teacher.predict_noise, noisy, texts, t, guidance_scale, negative)


def predict_guided_with_graph(
    teacher: DifferentiableTeacher,
    noisy: Sequence[Tensor],
    texts: Sequence[Conditioning],
    t: Tensor,
    guidance_scale: float | Tensor,
    negative: Conditioning | None = None,
) -> tuple[Tensor, ...]:
    """:func:`predict_guided` with a graph back to the noisy latents, where gradients are on."""
    return _predict(teacher, teacher.noise_with_graph, noisy, texts, t, guidance_scale, negative)


def _predict(
    teacher: Teacher,
    ask: Callable[[Tensor, Tensor, Conditioning], Tensor],
    noisy: Sequence[Tensor],
    texts: Sequence[Conditioning],
    t: Tensor,
    guidance_scale: float | Tensor,
    negative: Conditioning | None,
) -> tuple[Tensor, ...]:
    if len(noisy) != len(texts):
        raise ValueError(f"{len(noisy)} branches of latents but {len(texts)} of texts")
    branches, batch = len(noisy), len(noisy[0])
    z_t = torch.cat([*noisy])
    cond = Conditioning.cat([text.expand(batch) for text in texts])
    t_all = t.to(z_t.device).repeat(branches)
    if not isinstance(guidance_scale, Tensor) and guidance_scale == 1:
        eps = ask(z_t, t_all, cond)
        return _one_answer(z_t.chunk(branches), cond.chunk(branches), eps.chunk(branches))

    like = cond.embeddings
    uncond = teacher.embed([""]) if negative is None else negative
    uncond = uncond.to(like.device, like.dtype).expand(batch).repeat(branches)
    eps = ask(torch.cat([z_t, z_t]), torch.cat([t_all, t_all]), Conditioning.cat([uncond, cond]))
    eps_uncond, eps_cond = eps.chunk(2)
    scale = (
        guidance_scale.repeat(branches) if isinstance(guidance_scale, Tensor) else guidance_scale
    )
    guided = classifier_free_guidance(eps_uncond, eps_cond, scale)
    return _one_answer(z_t.chunk(branches), cond.chunk(branches), guided.chunk(branches))


def _one_answer(
    noisy: Sequence[Tensor], texts: Sequence[Conditioning], answers: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Gives items that ask in a later branch what they ask in the first the first one's answer."""
    shared = [answers[0]]
    for z_t, text, answer in zip(noisy[1:], texts[1:], answers[1:], strict=True):
        latents = (z_t == noisy[0]).flatten(1).all(1).to(answer.device)
        same = latents & text.equal(texts[0]).to(answer.device)
        same = same.reshape(-1, *[1] * (answer.ndim - 1))
        shared.append(torch.where(same, answers[0], answer))
    return tuple(shared)
