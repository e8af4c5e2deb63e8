"""Zero-shot editing: gradient descent on the latent itself (Hertz et al., ICCV 2023, section 4).

Starting at the source's latent, each step draws a timestep and noise for every item, asks the
score for its gradient g and goes ``z <- z - lr g``. No network is trained and nothing is
differentiated: g is the gradient already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from i2i_dds.checks import check_fields, checked, integer, number
from i2i_dds.diffusion.randomness import randn
from i2i_dds.diffusion.timesteps import TimestepSampler, UniformTimesteps
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.gradient import guarded
from i2i_dds.scores.interface import Descent, Score, ScoreInput
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.rows import SameRows

Stop = Callable[[EditStep], "Tensor | bool"]
"""After each step: which items have gone far enough, (B,) or one answer for all."""

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""A torch optimizer's class, or a partial of one, called as ``factory([z], lr=lr)``."""


@torch.no_grad()
def edit(
    teacher: Teacher,
    z_src: Tensor,
    text_src: Conditioning,
    text_tgt: Conditioning,
    score: Score,
    steps: int,
    lr: float,
    guidance_scale: float | Tensor,
    timesteps: TimestepSampler,
    generators: Sequence[Generator],
    mask: Tensor | None = None,
    stop: Stop | None = None,
    optimizer: OptimizerFactory | None = None,
    text_neg: Conditioning | None = None,
    same_source: SameRows | None = None,
    neutral_source: bool = False,
) -> Iterator[EditStep]:
    """Edits a batch of latents, yielding each step.

    Args:
        teacher: The frozen noise predictor.
        z_src: Source latents, (B, C, h, w).
        text_src: What the source's prompts say, of B rows or one.
        text_tgt: What the target's prompts say, of B rows or one.
        score: DDS, SDS or another :class:`Score`.
        steps: Iterations, at least 1.
        lr: The step itself, whatever the resolution.
        guidance_scale: Scale of classifier-free guidance, one number or (B,).
        timesteps: Draws t.
        generators: One per item; t and eps come from it, so that an item's result does not depend
            on the batch it was in.
        mask: Where to edit, (B or 1, 1, h, w) in [0, 1]; where it is 0, z stays bit-identical.
        stop: Asked after each step which items are done; those stay as they are, and when all
            are, so is the loop.
        optimizer: Something else than plain descent. Adam amplifies a score's noise.
        text_neg: What guidance leads away from, of B rows or one; None is the empty prompt.
        same_source: See :class:`EditBatch`; where the timesteps differ, each is asked.
        neutral_source: See :class:`EditBatch`.

    Yields:
        One :class:`EditStep` an iteration.
    """
    z, descend = z_src.clone(), _descent(z_src, lr, optimizer)
    active = torch.ones(len(z), 1, 1, 1, dtype=torch.bool, device=z.device)
    free = active if mask is None else active & (mask.to(z) > 0)
    memory: dict[str, Tensor] = {}
    for step in range(steps):
        t = timesteps(step, steps, generators)
        eps = randn(generators, z.shape[1:], z.dtype, z.device)
        alike = same_source is not None and same_source.agree(t.tolist())
        inputs = ScoreInput(
            z_tgt=z,
            z_src=z_src,
            text_tgt=text_tgt,
            text_src=text_src,
            t=t,
            eps=eps,
            guidance_scale=guidance_scale,
            text_neg=text_neg,
            descent=Descent(progress=step / max(1, steps - 1), memory=memory),
            same_source=same_source if alike else None,
            neutral_source=neutral_source,
        )
        grad = guarded(score(teacher, inputs), mask)
        z = torch.where(free & active, descend(z, grad.value), z)
        done = EditStep(
            step=step,
            steps=steps,
            z=z,
            t=t,
            gradient_norm=grad.value.flatten(1).norm(dim=1),
            distance=(z - z_src).flatten(1).norm(dim=1),
            nonfinite=grad.nonfinite,
            active=active.flatten(),
        )
        yield done
        if stop is not None:
            active = active & ~torch.as_tensor(stop(done), device=z.device).reshape(-1, 1, 1, 1)
            if not active.any():
                return


@dataclass(frozen=True)
class LatentOptimization:
    """The settings of :func:`edit`; calling them edits a batch.

    The defaults are the official notebook's for Stable Diffusion 1.5 at 512 px.

    Attributes:
        score: DDS, SDS or another :class:`Score`.
        steps: Iterations.
        lr: The step itself.
        guidance_scale: Scale of classifier-free guidance.
        timesteps: Draws t.
        optimizer: None is plain descent.
        stop: None runs all steps.
    """

    score: Score = field(default_factory=DDS)
    steps: int = checked(integer(min=1), default=200)
    lr: float = checked(number(above=0), default=0.0488)
    guidance_scale: float = checked(number(min=0), default=7.5)
    timesteps: TimestepSampler = field(default_factory=UniformTimesteps)
    optimizer: OptimizerFactory | None = None
    stop: Stop | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, teacher: Teacher, batch: EditBatch) -> Iterator[EditStep]:
        """Edits a batch, one step at a time."""
        return edit(
            teacher,
            z_src=batch.z_src,
            text_src=batch.text_src,
            text_tgt=batch.text_tgt,
            score=self.score,
            steps=self.steps,
            lr=self.lr,
            guidance_scale=self.guidance_scale,
            timesteps=self.timesteps,
            generators=batch.generators,
            mask=batch.mask,
            stop=deepcopy(self.stop),  # one may remember, and batches run side by side
            optimizer=self.optimizer,
            text_neg=batch.text_neg,
            same_source=batch.same_source,
            neutral_source=batch.neutral_source,
        )


def _descent(
    z_src: Tensor, lr: float, optimizer: OptimizerFactory | None
) -> Callable[[Tensor, Tensor], Tensor]:
    """The step from (z, gradient) to the next z."""
    if optimizer is None:
        return lambda z, grad: z - lr * grad
    param = z_src.clone()
    made: Any = optimizer([param], lr=lr)

    def descend(z: Tensor, grad: Tensor) -> Tensor:
        param.copy_(z)
        param.grad = grad
        made.step()
        return param.clone()

    return descend
