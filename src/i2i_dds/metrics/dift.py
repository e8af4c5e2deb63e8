"""DIFT: features of a picture from inside a teacher's network (Tang et al., NeurIPS 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from i2i_dds.diffusion.randomness import randn
from i2i_dds.errors import UserError
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import FeatureTeacher


def dift_features(
    teacher: FeatureTeacher,
    x: Tensor,
    text: Conditioning,
    generators: Sequence[Generator],
    t: int = 261,
    block: int | None = None,
    ensemble: int = 8,
) -> Tensor:
    """What one block of the teacher's network gives out, averaged over noises.

    1. The picture's latent (the posterior's mean, as RegionDrag takes it; DragDiffusion samples).
    2. Noised to t with `ensemble` noises.
    3. One pass of the network with the picture's prompt and without guidance; the block's output is
       caught and averaged.

    The defaults are those of DIFT, DragDiffusion and RegionDrag, who use Stable Diffusion 2.1.
    Numbers from another teacher are not comparable with theirs. DIFT knows no transformers: of one,
    a block's tokens are taken, by default of the one in the middle.

    Args:
        teacher: Whose VAE and network are used.
        x: Pictures (B, 3, H, W) in [-1, 1], both sides multiples of `teacher.vae_scale_factor`.
        text: What they show, of B rows or one.
        generators: One a picture; each gives `ensemble` noises.
        t: Timestep.
        block: Which of the UNet's up blocks, 0 being the coarsest, or of the transformer's blocks;
            None is the teacher's ``feature_block``.
        ensemble: How many noises.

    Returns:
        float32 (B, C', h', w'); h' and w' depend on the block.

    Raises:
        UserError: The network has no such block, the schedule no such t, or ensemble < 1.
    """
    block = teacher.feature_block if block is None else block
    if not 0 <= block < teacher.feature_blocks:
        raise UserError(
            f"block: {block} is not allowed; this network has blocks 0 to "
            f"{teacher.feature_blocks - 1}"
        )
    if not 0 <= t < len(teacher.process):
        raise UserError(f"t: {t} is not allowed; give 0 to {len(teacher.process) - 1}")
    if ensemble < 1:
        raise UserError(f"ensemble: {ensemble} is not allowed; give 1 or more noises")
    z = teacher.encode(x)
    # Picture by picture, all its noises together.
    eps = randn(generators, (ensemble, *z.shape[1:]), z.dtype, z.device).flatten(0, 1)
    z_t = teacher.process.mix(z.repeat_interleave(ensemble, 0), eps, t)
    words = text.expand(len(x)).repeat_interleave(ensemble)
    found = teacher.features(z_t, torch.full((len(z_t),), t), words, block)
    return found.float().unflatten(0, (len(x), ensemble)).mean(1)
