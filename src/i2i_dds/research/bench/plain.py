"""Plain loops, as public code writes them: one picture and one target at a time, nothing kept.

Written out on their own: text encoder, autoencoder, noise and guidance are called as diffusers'
users call them. They share a teacher's weights, and the order in which random numbers are drawn, so
that they end where ours end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from i2i_dds.diffusion.process import CLEAN
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.handles import Cell, window


def plain_dds(
    teacher: Any,
    x: Tensor,
    prompts: tuple[str, str],
    generator: Generator,
    steps: int,
    lr: float,
    scale: float,
    t_range: tuple[int, int],
) -> Tensor:
    """The loop of the official notebook of DDS: uniform timesteps, SGD on a loss, a batch of one.

    Args:
        teacher: A Stable Diffusion teacher.
        x: The picture, (1, 3, H, W) in [-1, 1].
        prompts: Of the source and of the target.
        generator: Of timesteps and noise.
        steps: Iterations.
        lr: Step along the gradient.
        scale: Of classifier-free guidance.
        t_range: Smallest timestep, and one past the largest.

    Returns:
        The edited latent, (1, C, h, w).
    """
    abar = _alphas_cumprod(teacher)
    z_src = _encode(teacher, x)
    empty, source, target = (_embed(teacher, [words]) for words in ("", *prompts))
    context = torch.cat([empty, empty, target, source])
    z = z_src.clone().requires_grad_()
    optimizer = torch.optim.SGD([z], lr=lr)
    for _ in range(steps):
        t = torch.randint(*t_range, (1,), generator=generator)
        eps = torch.randn(z_src.shape[1:], generator=generator)[None].to(z_src)
        with torch.no_grad():
            noisy = torch.cat([_noised(side, eps, abar[t]) for side in (z, z_src)])
            guided = _guided(teacher, noisy, t.repeat(2), context, scale)
            eps_tgt, eps_src = guided.chunk(2)
        optimizer.zero_grad()
        (z * (eps_tgt - eps_src)).sum().backward()
        optimizer.step()
    _decode(teacher, z)
    return z.detach()


@torch.no_grad()
def plain_drag(
    teacher: Any,
    x: Tensor,
    prompt: str,
    handles: Sequence[tuple[Cell, Cell]],
    mask: Tensor,
    generator: Generator,
    drag: Drag,
) -> Tensor:
    """SDE-Drag's sequential step: the source's noise is solved for, then used on the edited side.

    Args:
        teacher: A Stable Diffusion teacher.
        x: The picture, (1, 3, H, W) in [-1, 1].
        prompt: What it shows.
        handles: Handle and target cells.
        mask: Where it may change, (1, 1, h, w) of 0 and 1.
        generator: Of all noise.
        drag: Its numbers; the sampler is Cycle-SDE, all handles move at once.

    Returns:
        The dragged latent, (1, C, h, w).
    """
    context = torch.cat([_embed(teacher, [words]) for words in ("", prompt)])
    pairs = teacher.process.pairs(drag.steps, drag.strength)
    z = _encode(teacher, x)
    for moves in drag.moves(handles):
        path = [z]
        for t, t_prev in reversed(pairs):
            ratio = _abar(teacher, t) / _abar(teacher, t_prev)
            eps = torch.randn(z.shape[1:], generator=generator)[None].to(z)
            path.insert(0, math.sqrt(ratio) * path[0] + math.sqrt(1 - ratio) * eps)
        y = path[0].clone()
        windows = [window(move, drag.radius, y.shape[-2:]) for move in moves]
        for start, _ in windows:
            square = path[0][(..., *start)]
            eps = torch.randn(square.shape[1:], generator=generator)[None].to(z)
            y[(..., *start)] = drag.beta * square + math.sqrt(1 - drag.beta**2) * eps
        for start, end in windows:
            y[(..., *end)] = drag.alpha * path[0][(..., *start)]
        y = torch.where(mask > 0, y, path[0])
        for (t, t_prev), x_t, x_prev in zip(pairs, path, path[1:], strict=False):
            rise = (drag.guidance_scale_end - drag.guidance_scale) * t / pairs[0][0]
            scale, times = drag.guidance_scale + rise, torch.tensor([t])
            eps = _guided(teacher, x_t, times, context, scale)
            noise = x_prev - _reverse_mean(teacher, x_t, eps, t, t_prev)
            eps = _guided(teacher, y, times, context, scale)
            y = _reverse_mean(teacher, y, eps, t, t_prev) + noise
            y = torch.where(mask > 0, y, x_prev)
        z = y
    _decode(teacher, z)
    return z


def plain_training(
    teacher: Any,
    student: nn.Module,
    batches: Iterable[Mapping[str, Any]],
    seed: int,
    lr: float,
    scale: float,
    identity: float,
    t_range: tuple[int, int],
) -> None:
    """A straightforward loop that trains a student by DDS; what it needs it computes each step.

    Args:
        teacher: A Stable Diffusion teacher.
        student: Called with latents and task numbers.
        batches: "image", "task", "key", "source" and "target" of each step.
        seed: Of each item's timestep and noise, with the step and its key.
        lr: Of AdamW.
        scale: Of classifier-free guidance.
        identity: Weight of half the squared distance from the source's latent.
        t_range: Smallest timestep, and one past the largest.
    """
    abar = _alphas_cumprod(teacher)
    optimizer = torch.optim.AdamW(student.parameters(), lr, betas=(0.9, 0.99), weight_decay=0.01)
    for step, batch in enumerate(batches):
        z_src, size = _encode(teacher, batch["image"]), len(batch["key"])
        empty = _embed(teacher, [""] * size)
        target, source = (_embed(teacher, batch[side]) for side in ("target", "source"))
        context = torch.cat([empty, empty, target, source])
        draw = item_generators(seed, [f"{step}/{key}" for key in batch["key"]])
        t = torch.cat([torch.randint(*t_range, (1,), generator=one) for one in draw])
        eps = torch.stack([torch.randn(z_src.shape[1:], generator=one) for one in draw]).to(z_src)
        z = student(z_src, batch["task"].to(z_src.device))
        with torch.no_grad():
            noisy = torch.cat([_noised(side, eps, abar[t]) for side in (z, z_src)])
            guided = _guided(teacher, noisy, t.repeat(2), context, scale)
            eps_tgt, eps_src = guided.chunk(2)
        loss = (z * (eps_tgt - eps_src)).sum() + identity * 0.5 * (z - z_src).square().sum()
        optimizer.zero_grad()
        (loss / size).backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()


def _guided(teacher: Any, noisy: Tensor, t: Tensor, context: Tensor, scale: float) -> Tensor:
    """Noise predicted with guidance, as every tutorial has it: the batch doubled."""
    out = teacher.unet(
        torch.cat([noisy, noisy]), t.repeat(2).to(noisy.device), encoder_hidden_states=context
    )
    uncond, cond = out.sample.chunk(2)
    return uncond + scale * (cond - uncond)


@torch.no_grad()
def _embed(teacher: Any, prompts: Sequence[str]) -> Tensor:
    tokens = teacher.tokenizer(
        list(prompts),
        padding="max_length",
        max_length=teacher.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return teacher.text_encoder(tokens.input_ids.to(teacher.device))[0]


@torch.no_grad()
def _encode(teacher: Any, x: Tensor) -> Tensor:
    mean = teacher.vae.encode(x.to(teacher.device)).latent_dist.mean
    return mean * teacher.vae.config.scaling_factor


@torch.no_grad()
def _decode(teacher: Any, z: Tensor) -> Tensor:
    return teacher.vae.decode(z / teacher.vae.config.scaling_factor).sample.clamp(-1, 1)


def _alphas_cumprod(teacher: Any) -> Tensor:
    return teacher.process.alphas_cumprod.to(torch.float32)


def _abar(teacher: Any, t: int) -> float:
    return 1.0 if t == CLEAN else teacher.process.alphas_cumprod[t].item()


def _noised(z: Tensor, eps: Tensor, abar: Tensor) -> Tensor:
    abar = abar.to(z).reshape(-1, 1, 1, 1)
    return abar.sqrt() * z + (1 - abar).sqrt() * eps


def _reverse_mean(teacher: Any, z_t: Tensor, eps: Tensor, t: int, t_prev: int) -> Tensor:
    """The mean of DDPM's step from t to t_prev (DDIM's eq. 12 at eta 1)."""
    now, then = _abar(teacher, t), _abar(teacher, t_prev)
    variance = (1 - then) / (1 - now) * (1 - now / then)
    clean = (z_t - math.sqrt(1 - now) * eps) / math.sqrt(now)
    return math.sqrt(then) * clean + math.sqrt(max(0.0, 1 - then - variance)) * eps
