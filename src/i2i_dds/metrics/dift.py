"""DIFT: features of a picture from inside a teacher's UNet (Tang et al., NeurIPS 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from i2i_dds.diffusion.randomness import randn
from i2i_dds.errors import UserError
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


def unet_features(
    teacher: StableDiffusionTeacher,
    x: Tensor,
    prompt_embedding: Tensor,
    generators: Sequence[Generator],
    t: int = 261,
    block: int = 1,
    ensemble: int = 8,
) -> Tensor:
    """What one up block of the UNet gives out, averaged over noises.

    1. The picture's latent (the posterior's mean, as RegionDrag takes it; DragDiffusion samples).
    2. Noised to t with `ensemble` noises.
    3. One pass of the UNet with the picture's prompt and without guidance; the block's output is
       caught and averaged.

    The defaults are those of DIFT, DragDiffusion and RegionDrag, who use Stable Diffusion 2.1.
    Numbers from another teacher are not comparable with theirs.

    Args:
        teacher: Whose VAE and UNet are used.
        x: Pictures (B, 3, H, W) in [-1, 1], both sides multiples of `teacher.downscale`.
        prompt_embedding: (B or 1, L, D), from `teacher.embed`.
        generators: One a picture; each gives `ensemble` noises.
        t: Timestep.
        block: Which of the UNet's up blocks, 0 being the coarsest.
        ensemble: How many noises.

    Returns:
        float32 (B, C', h', w'); h' and w' depend on the block.

    Raises:
        UserError: The UNet has no such block, the schedule no such t, or ensemble < 1.
    """
    blocks = teacher.unet.up_blocks
    if not 0 <= block < len(blocks):
        raise UserError(
            f"block: {block} is not allowed; this UNet has up blocks 0 to {len(blocks) - 1}"
        )
    if not 0 <= t < len(teacher.schedule):
        raise UserError(f"t: {t} is not allowed; give 0 to {len(teacher.schedule) - 1}")
    if ensemble < 1:
        raise UserError(f"ensemble: {ensemble} is not allowed; give 1 or more noises")
    z = teacher.encode(x)
    # Picture by picture, all its noises together.
    eps = randn(generators, (ensemble, *z.shape[1:]), z.dtype, z.device).flatten(0, 1)
    z_t = teacher.schedule.add_noise(z.repeat_interleave(ensemble, 0), eps, t)
    text = prompt_embedding.expand(len(x), -1, -1).repeat_interleave(ensemble, 0)
    caught: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
        caught.append(output)

    hook = blocks[block].register_forward_hook(keep)
    try:
        teacher.predict_noise(z_t, torch.full((len(z_t),), t), text)
    finally:
        hook.remove()
    return caught[0].float().unflatten(0, (len(x), ensemble)).mean(1)
