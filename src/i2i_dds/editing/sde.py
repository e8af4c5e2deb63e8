"""The reverse process, step by step: DDIM, DDPM, inversion and Cycle-SDE.

Notation: as in :mod:`i2i_dds.diffusion.ddim`, whose step from timestep t leads to t_prev, here u.
``x`` is the source on its recorded path, ``y`` the edited latent beside it; ``path[i]`` is x at
``pairs[i][0]`` and ``path[-1]`` the clean source.

Cycle-SDE (Nie et al., ICLR 2024, eqs. 6 to 8) solves ``x_u = mean(x_t) + std noise`` for the noise
and reuses it for y. There the noise cancels, and the step is a delta:

    y_u = x_u + mean(y_t) - mean(x_t)
        = x_u + coef_z (y_t - x_t) + coef_eps (eps_hat(y_t) - eps_hat(x_t))

whose last bracket is the gradient of DDS. Nothing is divided by std, so it holds at the last step,
where std = 0, and in half precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from i2i_dds.diffusion.ddim import DDIMCoefficients, forward_step
from i2i_dds.diffusion.process import CLEAN, Process
from i2i_dds.diffusion.randomness import randn
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import Teacher

Pairs = Sequence[tuple[int, int]]

Scale = float | Callable[[int], float]
"""Of classifier-free guidance: one number, or a function of the timestep."""


@dataclass(frozen=True)
class SamplerStep:
    """A batch after one reverse step.

    Attributes:
        coefficients: Of the step.
        y: Latents at ``coefficients.t_prev``, (B, C, h, w).
        clean: Where one step from ``coefficients.t`` straight to the clean latent would have led,
            (B, C, h, w); y itself after the last step.
        delta: ``eps_hat(y_t) - eps_hat(x_t)``, (B, C, h, w), where a source went along.
    """

    coefficients: DDIMCoefficients
    y: Tensor
    clean: Tensor
    delta: Tensor | None = None


def forward_path(
    process: Process, z: Tensor, pairs: Pairs, generators: Sequence[Generator]
) -> list[Tensor]:
    """Carries clean latents up by the forward SDE and records where they were.

    Args:
        process: The teacher's.
        z: Clean latents, (B, C, h, w).
        pairs: The run's steps, downwards.
        generators: One an item; its noise is drawn from the cleanest step up.

    Returns:
        ``len(pairs) + 1`` tensors (B, C, h, w), noisiest first and z itself last.
    """
    path = [z]
    for t, t_prev in reversed(pairs):
        noise = randn(generators, z.shape[1:], z.dtype, z.device)
        path.append(forward_step(process, path[-1], t, t_prev, noise))
    return path[::-1]


def invert(
    teacher: Teacher,
    z: Tensor,
    text: Conditioning,
    pairs: Pairs,
    guidance_scale: Scale = 1.0,
    negative: Conditioning | None = None,
) -> list[Tensor]:
    """DDIM inversion: the ODE run upwards (Song et al. 2021, section 4.3).

    Each step asks the teacher about z_prev at timestep t, as if it were z_t, which makes the way
    back differ from the way up by the size of a step.

    Args:
        teacher: Who answers.
        z: Clean latents, (B, C, h, w).
        text: What they show, of B rows or one.
        pairs: The run's steps, downwards.
        guidance_scale: Above 1 it strays from the path that leads back.
        negative: What guidance leads away from, of B rows or one; None is the empty prompt.

    Returns:
        The path, as :func:`forward_path` returns it.
    """
    path = [z]
    for t, t_prev in reversed(pairs):
        (eps,) = _ask(teacher, [path[-1]], [text], t, guidance_scale, negative)
        step = DDIMCoefficients.of(teacher.process, t, t_prev, eta=0.0)
        path.append((path[-1] - step.coef_eps * eps) / step.coef_z)
    return path[::-1]


def denoise(
    teacher: Teacher,
    y: Tensor,
    text: Conditioning,
    pairs: Pairs,
    guidance_scale: Scale,
    eta: float,
    generators: Sequence[Generator],
    path: Sequence[Tensor] | None = None,
    mask: Tensor | None = None,
    negative: Conditioning | None = None,
) -> Iterator[SamplerStep]:
    """Carries noisy latents down to clean ones.

    Args:
        teacher: Who answers.
        y: Latents at ``pairs[0][0]``, (B, C, h, w).
        text: What they shall show, of B rows or one.
        pairs: The steps, downwards.
        guidance_scale: Scale of classifier-free guidance.
        eta: 0 is the ODE, 1 the SDE.
        generators: One an item; they are not used when eta is 0.
        path: The source at every timestep; needed with a mask.
        mask: (B or 1, 1, h, w) in [0, 1]; where it is 0, y is the path, to the bit.
        negative: What guidance leads away from, of B rows or one; None is the empty prompt.

    Yields:
        One :class:`SamplerStep` a step.
    """
    y = y if path is None else blend(y, path[0], mask)
    for i, (t, t_prev) in enumerate(pairs):
        (eps,) = _ask(teacher, [y], [text], t, guidance_scale, negative)
        step = DDIMCoefficients.of(teacher.process, t, t_prev, eta)
        clean = DDIMCoefficients.of(teacher.process, t, CLEAN, eta).mean(y, eps)
        y = step.mean(y, eps)
        if step.std > 0:
            y = y + step.std * randn(generators, y.shape[1:], y.dtype, y.device)
        if path is not None:
            y, clean = blend(y, path[i + 1], mask), blend(clean, path[-1], mask)
        yield SamplerStep(step, y, clean)


def cycle(
    teacher: Teacher,
    y: Tensor,
    path: Sequence[Tensor],
    text_src: Conditioning,
    text_tgt: Conditioning,
    pairs: Pairs,
    guidance_scale: Scale,
    eta: float = 1.0,
    mask: Tensor | None = None,
    eps_src: Sequence[Tensor] | None = None,
    negative: Conditioning | None = None,
    guidance_scale_src: Scale | None = None,
) -> Iterator[SamplerStep]:
    """Cycle-SDE: carries y down beside the recorded path of its source, by deltas.

    With y on the path and one prompt for both sides the path comes back bit for bit, whatever the
    guidance and the type, because both sides are rows of one forward pass.

    Args:
        teacher: Who answers.
        y: Latents at ``pairs[0][0]``, (B, C, h, w).
        path: The source at every timestep, see :func:`forward_path`.
        text_src: What the source shows, of B rows or one.
        text_tgt: What y shall show, of B rows or one.
        pairs: The steps, downwards.
        guidance_scale: Scale of classifier-free guidance.
        eta: 1 is the paper's; 0 makes the delta of two ODEs.
        mask: (B or 1, 1, h, w) in [0, 1]; where it is 0, y is the path, to the bit.
        eps_src: What :func:`source_predictions` returned. The teacher is then asked about y alone,
            and the source comes back up to rounding.
        negative: What guidance leads away from, of B rows or one; None is the empty prompt.
        guidance_scale_src: Scale of the source's side; None is the other's.

    Yields:
        One :class:`SamplerStep` a step.
    """
    y = blend(y, path[0], mask)
    for i, (t, t_prev) in enumerate(pairs):
        if eps_src is None:
            noisy, texts = (y, path[i]), (text_tgt, text_src)
            eps, eps_x = predict_pair(
                teacher, noisy, texts, t, guidance_scale, guidance_scale_src, negative
            )
        else:
            (eps,) = _ask(teacher, [y], [text_tgt], t, guidance_scale, negative)
            eps_x = eps_src[i]
        step = DDIMCoefficients.of(teacher.process, t, t_prev, eta)
        jump = DDIMCoefficients.of(teacher.process, t, CLEAN, eta).delta(y, path[i], eps, eps_x)
        clean = blend(path[-1] + jump, path[-1], mask)
        y = blend(path[i + 1] + step.delta(y, path[i], eps, eps_x), path[i + 1], mask)
        yield SamplerStep(step, y, clean, eps - eps_x)


def source_predictions(
    teacher: Teacher,
    path: Sequence[Tensor],
    text_src: Conditioning,
    pairs: Pairs,
    guidance_scale: Scale,
    rows: int = 64,
) -> list[Tensor]:
    """What the teacher says about the source at every timestep, in large batches.

    The whole path is known before the first step, so these need not wait for one another.

    Args:
        teacher: Who answers.
        path: The source at every timestep, see :func:`forward_path`.
        text_src: What it shows, of B rows or one.
        pairs: The steps, downwards.
        guidance_scale: Scale of classifier-free guidance.
        rows: Latents a forward pass; with guidance the network sees twice as many.

    Returns:
        ``len(pairs)`` tensors (B, C, h, w).
    """
    batch = len(path[0])
    text = text_src.expand(batch)
    together = max(1, rows // batch)
    found: list[Tensor] = []
    for first in range(0, len(pairs), together):
        part = pairs[first : first + together]
        noisy = torch.cat([*path[first : first + len(part)]])
        times = torch.tensor([t for t, _ in part]).repeat_interleave(batch)
        scales = [scale_at(guidance_scale, t) for t, _ in part]
        scale = scales[0]
        if len(set(scales)) > 1:
            scale = torch.tensor(scales).repeat_interleave(batch).to(noisy)
        texts = text.repeat(len(part))
        (eps,) = predict_guided(teacher, [noisy], [texts], times, scale)
        found += eps.chunk(len(part))
    return found


def predict_pair(
    teacher: Teacher,
    noisy: tuple[Tensor, Tensor],
    texts: tuple[Conditioning, Conditioning],
    t: int,
    guidance_scale: Scale,
    guidance_scale_src: Scale | None = None,
    negative: Conditioning | None = None,
) -> tuple[Tensor, Tensor]:
    """What the teacher says about both sides, in one forward pass where they have one scale.

    Args:
        teacher: Who answers.
        noisy: Latents at t, of the target and of the source, each (B, C, h, w).
        texts: What they shall show and what they show, of B rows or one.
        t: Timestep.
        guidance_scale: Scale of classifier-free guidance of the target.
        guidance_scale_src: Of the source; None is the target's.
        negative: What guidance leads away from, of B rows or one; None is the empty prompt.

    Returns:
        ``eps_hat`` of the target and of the source, each (B, C, h, w).
    """
    scale = scale_at(guidance_scale, t)
    scale_src = scale if guidance_scale_src is None else scale_at(guidance_scale_src, t)
    if scale == scale_src:
        eps, eps_src = _ask(teacher, noisy, texts, t, scale, negative)
        return eps, eps_src
    (eps,) = _ask(teacher, noisy[:1], texts[:1], t, scale, negative)
    (eps_src,) = _ask(teacher, noisy[1:], texts[1:], t, scale_src, negative)
    return eps, eps_src


def blend(y: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
    """y where the mask is 1, x to the bit where it is 0, their mixture between."""
    if mask is None:
        return y
    mask = mask.to(y)
    mixed = torch.where(mask < 1, x + mask * (y - x), y)
    return torch.where(mask > 0, mixed, x)


def scale_at(guidance_scale: Scale, t: int) -> float:
    """The scale of guidance at timestep t."""
    return guidance_scale(t) if callable(guidance_scale) else guidance_scale


def _ask(
    teacher: Teacher,
    noisy: Sequence[Tensor],
    texts: Sequence[Conditioning],
    t: int,
    guidance_scale: Scale,
    negative: Conditioning | None = None,
) -> tuple[Tensor, ...]:
    times = torch.full((len(noisy[0]),), t, device=noisy[0].device)
    return predict_guided(teacher, noisy, texts, times, scale_at(guidance_scale, t), negative)
