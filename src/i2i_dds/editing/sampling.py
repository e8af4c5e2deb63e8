"""What editors by sampling share: their eta, and their steps as edits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Generator, Tensor

from i2i_dds.diffusion.process import Process
from i2i_dds.diffusion.randomness import randn
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.editing.sde import Pairs, SamplerStep, denoise
from i2i_dds.teacher.interface import Teacher

ETA = {"ode": 0.0, "sde": 1.0, "cycle_sde": 1.0}
"""Samplers and the eta of their steps."""


def straight_path(
    process: Process, z: Tensor, pairs: Pairs, generators: Sequence[Generator]
) -> list[Tensor]:
    """The source under one and the same noise at every timestep, noisiest first and z last."""
    eps = randn(generators, z.shape[1:], z.dtype, z.device)
    noisy = [process.mix(z, eps, t) for t, _ in pairs]
    return [*noisy, z]


def down(
    teacher: Teacher,
    batch: EditBatch,
    path: list[Tensor],
    pairs: Pairs,
    sampler: str,
    guidance_scale: float,
    y: Tensor | None = None,
) -> Iterator[EditStep]:
    """Down to the target from the noisy end of the source's path, or from elsewhere.

    Args:
        teacher: Who answers.
        batch: Whose mask holds the rest to the path.
        path: The source at every timestep, noisiest first.
        pairs: Timesteps of the steps, and of what they end at.
        sampler: "ode" or "sde".
        guidance_scale: Of classifier-free guidance.
        y: Where it begins; None is the path's first.
    """
    run = denoise(
        teacher,
        y=path[0] if y is None else y,
        text=batch.text_tgt,
        pairs=pairs,
        guidance_scale=guidance_scale,
        eta=ETA[sampler],
        generators=batch.generators,
        path=path,
        mask=batch.mask,
        negative=batch.text_neg,
    )
    return edit_steps(batch, len(pairs), run)


def edit_steps(batch: EditBatch, steps: int, run: Iterable[SamplerStep]) -> Iterator[EditStep]:
    """The steps of a sampler as those of an editor."""
    known = torch.zeros((), dtype=torch.long, device=batch.z_src.device)
    for number, done in enumerate(run):
        z = done.y if number == steps - 1 else done.clean
        if done.delta is None:
            norm = z.new_full((len(z),), float("nan"))
        else:
            norm = done.delta.flatten(1).norm(dim=1)
        bad = (~torch.isfinite(z)).sum()
        yield EditStep(
            step=number,
            steps=steps,
            z=z,
            t=torch.full((len(z),), done.coefficients.t),
            gradient_norm=norm,
            distance=(z - batch.z_src).flatten(1).norm(dim=1),
            nonfinite=(bad - known).clamp(min=0),
        )
        known = torch.maximum(known, bad)
