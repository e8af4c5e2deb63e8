"""The one batched call: {source, target, ...} x {unconditional, conditional} in a single pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from i2i_dds.diffusion.guidance import classifier_free_guidance
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import DifferentiableTeacher, Teacher
from i2i_dds.teacher.rows import SameRows


@torch.no_grad()
def predict_guided(
    teacher: Teacher,
    noisy: Sequence[Tensor],
    texts: Sequence[Conditioning],
    t: Tensor,
    guidance_scale: float | Tensor,
    negative: Conditioning | None = None,
    same: Sequence[SameRows | None] = (),
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
        same: Of each branch, which rows ask the same in all of this; None of those that do not.

    Returns:
        One tensor (B, C, h, w) per branch.
    """
    return _predict(teacher, teacher.predict_noise, noisy, texts, t, guidance_scale, negative, same)


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
    same: Sequence[SameRows | None] = (),
) -> tuple[Tensor, ...]:
    if len(noisy) != len(texts):
        raise ValueError(f"{len(noisy)} branches of latents but {len(texts)} of texts")
    batch, same = len(noisy[0]), same or [None] * len(noisy)
    texts = [text.expand(batch) for text in texts]
    z_t = torch.cat([_asked(z, rows) for z, rows in zip(noisy, same, strict=True)])
    cond = Conditioning.cat([_told(text, r) for text, r in zip(texts, same, strict=True)])
    t_all = _of_branches(t.to(z_t.device), same)
    if not isinstance(guidance_scale, Tensor) and guidance_scale == 1:
        return _one_answer(noisy, texts, _answers(ask(z_t, t_all, cond), batch, same))

    like = cond.embeddings
    uncond = teacher.embed([""]) if negative is None else negative
    uncond = uncond.to(like.device, like.dtype).expand(batch)
    uncond = Conditioning.cat([_told(uncond, rows) for rows in same])
    eps = ask(torch.cat([z_t, z_t]), torch.cat([t_all, t_all]), Conditioning.cat([uncond, cond]))
    eps_uncond, eps_cond = eps.chunk(2)
    scale = guidance_scale
    if isinstance(scale, Tensor):
        scale = _of_branches(scale.to(z_t.device), same)
    guided = classifier_free_guidance(eps_uncond, eps_cond, scale)
    return _one_answer(noisy, texts, _answers(guided, batch, same))


def _asked(values: Tensor, rows: SameRows | None) -> Tensor:
    """A branch's rows, each of those that are the same once."""
    return values if rows is None else values[rows.first]


def _told(text: Conditioning, rows: SameRows | None) -> Conditioning:
    """What the rows that are asked are told."""
    return text if rows is None else text.take(rows.first)


def _of_branches(values: Tensor, same: Sequence[SameRows | None]) -> Tensor:
    """What all branches share, (B, ...), for the rows that are asked of each."""
    return torch.cat([_asked(values, rows) for rows in same])


def _answers(eps: Tensor, batch: int, same: Sequence[SameRows | None]) -> list[Tensor]:
    """From answers to the rows that were asked to those of each branch, (B, C, h, w)."""
    asked = eps.split([batch if rows is None else len(rows.first) for rows in same])
    return [x if rows is None else x[rows.back] for x, rows in zip(asked, same, strict=True)]


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
