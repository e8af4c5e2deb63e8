"""The mask that DiffEdit finds by itself, for any editor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.checks import check_fields, checked, integer, number
from i2i_dds.diffusion.randomness import randn
from i2i_dds.editing.interface import EditBatch
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.gradient import guarded
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class FoundMask:
    """Where two prompts disagree about a picture.

    Attributes:
        mask: 1 where to edit, else 0; (B, 1, h, w).
        strength: What was thresholded, in [0, 1], (B, 1, h, w).
    """

    mask: Tensor
    strength: Tensor


@dataclass(frozen=True)
class AutoMask:
    """DiffEdit's first step (Couairon et al., ICLR 2023, section 3.2).

    The picture is noised several times, and where the predictions under the target's and the
    source's prompt differ most, an edit is wanted: the mean size of the DDS gradient at the source.

    Attributes:
        threshold: Least strength to be edited, in (0, 1).
        num_noise: Noises to average over.
        t: Noise level as a fraction of the timesteps, in (0, 1).
        guidance_scale: Scale of classifier-free guidance.
        clip: Strengths above this many times their mean count as that, so that a few cells do not
            set the scale.
    """

    threshold: float = checked(number(above=0, below=1), default=0.5)
    num_noise: int = checked(integer(min=1), default=10)
    t: float = checked(number(above=0, below=1), default=0.5)
    guidance_scale: float = checked(number(min=0), default=7.5)
    clip: float = checked(number(above=0), default=3.0)

    def __post_init__(self) -> None:
        check_fields(self)

    @torch.no_grad()
    def __call__(self, teacher: Teacher, batch: EditBatch) -> FoundMask:
        """The masks of a batch; noise is drawn from its generators."""
        z, total = batch.z_src, torch.zeros_like(batch.z_src[:, :1])
        t = torch.full((len(z),), round(self.t * (len(teacher.process) - 1)), device=z.device)
        for _ in range(self.num_noise):
            eps = randn(batch.generators, z.shape[1:], z.dtype, z.device)
            inputs = ScoreInput(
                z_tgt=z,
                z_src=z,
                text_tgt=batch.text_tgt,
                text_src=batch.text_src,
                t=t,
                eps=eps,
                guidance_scale=self.guidance_scale,
                text_neg=batch.text_neg,
            )
            delta = guarded(DDS()(teacher, inputs))
            total += delta.value.abs().mean(1, keepdim=True)
        most = self.clip * total.mean((1, 2, 3), keepdim=True)
        clipped = torch.minimum(total, most)
        low, high = (clipped.amin((1, 2, 3), True), clipped.amax((1, 2, 3), True))
        # Prompts that agree everywhere want no edit anywhere.
        strength = (clipped - low) / (high - low).clamp(min=torch.finfo(z.dtype).tiny)
        return FoundMask((strength >= self.threshold).to(z), strength)
