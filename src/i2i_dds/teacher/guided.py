"""The one batched call: {source, target, ...} x {unconditional, conditional} in a single pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

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
    neutral: Sequence[bool] = (),
    known: Sequence[Tensor | None] = (),
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
        neutral: Of each branch, whether its texts are the very ones that guidance leads away from.
            Guidance changes nothing of its answer then, and it is asked once.
        known: Of each branch, its guided answers (B, C, h, w) from another time; None of those
            that are asked now, as at least one is.

    Returns:
        One tensor (B, C, h, w) per branch.
    """
    texts = _expanded(noisy, texts)
    answers = [*known] or [None] * len(noisy)
    branches = [branch for branch, answer in enumerate(answers) if answer is None]
    if not branches:
        raise ValueError("the answers of all branches are known")
    found = _guided(
        teacher,
        teacher.predict_noise,
        [noisy[i] for i in branches],
        [texts[i] for i in branches],
        t,
        guidance_scale,
        negative,
        [same[i] if same else None for i in branches],
        [neutral[i] if neutral else False for i in branches],
    )
    new = iter(found)
    return _one_answer(noisy, texts, [next(new) if x is None else x for x in answers])


def predict_guided_with_graph(
    teacher: DifferentiableTeacher,
    noisy: Sequence[Tensor],
    texts: Sequence[Conditioning],
    t: Tensor,
    guidance_scale: float | Tensor,
    negative: Conditioning | None = None,
) -> tuple[Tensor, ...]:
    """:func:`predict_guided` with a graph back to the noisy latents, where gradients are on."""
    texts, ask = _expanded(noisy, texts), teacher.noise_with_graph
    same, neutral = [None] * len(noisy), [False] * len(noisy)
    answers = _guided(teacher, ask, noisy, texts, t, guidance_scale, negative, same, neutral)
    return _one_answer(noisy, texts, answers)


def _expanded(noisy: Sequence[Tensor], texts: Sequence[Conditioning]) -> list[Conditioning]:
    """A branch's texts, each of as many rows as its latents."""
    if len(noisy) != len(texts):
        raise ValueError(f"{len(noisy)} branches of latents but {len(texts)} of texts")
    return [text.expand(len(noisy[0])) for text in texts]


def _guided(
    teacher: Teacher,
    ask: Callable[[Tensor, Tensor, Conditioning], Tensor],
    noisy: Sequence[Tensor],
    texts: Sequence[Conditioning],
    t: Tensor,
    guidance_scale: float | Tensor,
    negative: Conditioning | None,
    same: Sequence[SameRows | None],
    neutral: Sequence[bool],
) -> list[Tensor]:
    """The guided answers of branches of B rows each, from one pass."""
    z_t = [_asked(z, rows) for z, rows in zip(noisy, same, strict=True)]
    told = [_asked(text, rows) for text, rows in zip(texts, same, strict=True)]
    times = [_asked(t.to(noisy[0].device), rows) for rows in same]
    if not isinstance(guidance_scale, Tensor) and guidance_scale == 1:
        return _answers(_ask(ask, z_t, times, told), same)

    like = texts[0].embeddings
    uncond = teacher.embed([""]) if negative is None else negative
    uncond = uncond.to(like.device, like.dtype).expand(len(noisy[0]))
    guided = [branch for branch, one in enumerate(neutral) if not one]
    eps_uncond, eps_cond = _halves(
        _ask(
            ask,
            [*z_t, *(z_t[i] for i in guided)],
            [*times, *(times[i] for i in guided)],
            [*(_asked(uncond, rows) for rows in same), *(told[i] for i in guided)],
        ),
        guided,
    )
    scale, device = guidance_scale, noisy[0].device
    scales = [
        _asked(scale.to(device), rows) if isinstance(scale, Tensor) else scale for rows in same
    ]
    answers = [
        classifier_free_guidance(eps, eps_cond[i], scales[i]) if i in eps_cond else eps
        for i, eps in enumerate(eps_uncond)
    ]
    return _answers(answers, same)


def _ask(
    ask: Callable[[Tensor, Tensor, Conditioning], Tensor],
    z_t: Sequence[Tensor],
    times: Sequence[Tensor],
    texts: Sequence[Conditioning],
) -> list[Tensor]:
    """Asks several lots of rows in one pass, and parts the answers again."""
    eps = ask(torch.cat([*z_t]), torch.cat([*times]), Conditioning.cat(texts))
    return list(eps.split([len(rows) for rows in z_t]))


def _halves(
    eps: Sequence[Tensor], guided: Sequence[int]
) -> tuple[Sequence[Tensor], dict[int, Tensor]]:
    """The unconditional answers of all branches, and the others by branch."""
    count = len(eps) - len(guided)
    return eps[:count], dict(zip(guided, eps[count:], strict=True))


Rows = TypeVar("Rows", Tensor, Conditioning)


def _asked(values: Rows, rows: SameRows | None) -> Rows:
    """A branch's rows, each of those that are the same once."""
    if rows is None:
        return values
    first = rows.first
    return values.take(first) if isinstance(values, Conditioning) else values[first]


def _answers(eps: Sequence[Tensor], same: Sequence[SameRows | None]) -> list[Tensor]:
    """From answers to the rows that were asked to those of each branch, (B, C, h, w)."""
    return [x if rows is None else x[rows.back] for x, rows in zip(eps, same, strict=True)]


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
