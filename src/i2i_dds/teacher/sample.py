"""Text to image: pictures that a teacher draws for prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from i2i_dds.diffusion.ddim import DDIMCoefficients
from i2i_dds.diffusion.randomness import randn
from i2i_dds.errors import UserError
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import Teacher


@torch.no_grad()
def sample(
    teacher: Teacher,
    prompts: Sequence[str],
    generators: Sequence[Generator],
    steps: int = 30,
    guidance_scale: float = 4.0,
    size: int | tuple[int, int] = 64,
) -> Tensor:
    """Samples by DDIM with eta = 0 (Song et al. 2021, eq. 12), the probability-flow ODE.

    Args:
        teacher: Who draws.
        prompts: One per picture.
        generators: One per picture; its starting noise, and all of its chance, comes from it.
        steps: Network evaluations per picture.
        guidance_scale: Scale of classifier-free guidance.
        size: Side of a square in pixels, or (height, width); multiples of the VAE's factor.

    Returns:
        Pictures (B, 3, H, W) in [-1, 1].

    Raises:
        UserError: A size the VAE does not allow, or ``steps`` outside the schedule.
    """
    sides = (size, size) if isinstance(size, int) else size
    if any(side < teacher.vae_scale_factor or side % teacher.vae_scale_factor for side in sides):
        raise UserError(
            f"size: {size} is not allowed; give multiples of {teacher.vae_scale_factor}"
        )
    cells = [side // teacher.vae_scale_factor for side in sides]
    dtype = torch.promote_types(teacher.dtype, torch.float32)
    z_t = randn(generators, (teacher.latent_channels, *cells), dtype, teacher.device)
    text, process = teacher.embed(prompts), teacher.process
    for t, t_prev in process.pairs(steps):
        times = torch.full((len(z_t),), t, device=z_t.device)
        (eps,) = predict_guided(teacher, [z_t], [text], times, guidance_scale)
        z_t = DDIMCoefficients.of(process, t, t_prev, eta=0.0).mean(z_t, eps)
    return teacher.decode(z_t)
