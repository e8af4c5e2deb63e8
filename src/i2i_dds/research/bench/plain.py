"""The descent as the official notebook's loop has it: one picture, one target, SGD on a loss.

Written out on its own. It shares the teacher's weights, and the random numbers, so that both ways
end at the same latent.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from i2i_dds.diffusion.timesteps import TimestepSampler


def plain_dds(
    teacher: Any,
    z_src: Tensor,
    prompts: tuple[str, str],
    generator: Generator,
    *,
    steps: int,
    lr: float,
    scale: float,
    timesteps: TimestepSampler,
) -> Tensor:
    """Edits one latent by Delta Denoising Score.

    Args:
        teacher: A Stable Diffusion teacher, whose UNet is called as diffusers' own.
        z_src: The source's latent, (1, C, h, w).
        prompts: Of the source and of the target.
        generator: Of timesteps and noise.
        steps: Iterations.
        lr: Step along the gradient.
        scale: Of classifier-free guidance.
        timesteps: Draws t.

    Returns:
        The edited latent, (1, C, h, w).
    """
    empty, source, target = (teacher.embed([text]).embeddings for text in ("", *prompts))
    context = torch.cat([empty, empty, target, source])
    z = z_src.clone().requires_grad_()
    optimizer = torch.optim.SGD([z], lr=lr)
    for step in range(steps):
        t = timesteps(step, steps, [generator])
        eps = torch.randn(z_src.shape[1:], generator=generator)[None].to(z_src)
        alpha, sigma = teacher.process.alpha(t, z_src), teacher.process.sigma(t, z_src)
        with torch.no_grad():
            noisy = torch.cat([alpha * side + sigma * eps for side in (z, z_src)])
            out = teacher.unet(
                torch.cat([noisy, noisy]), t.repeat(4), encoder_hidden_states=context
            )
            uncond, cond = out.sample.chunk(2)
            eps_tgt, eps_src = (uncond + scale * (cond - uncond)).chunk(2)
            gradient = eps_tgt - eps_src
        optimizer.zero_grad()
        (z * gradient).sum().backward()
        optimizer.step()
    return z.detach()
