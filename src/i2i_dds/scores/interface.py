"""What a score is given and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.rows import SameRows


@dataclass(frozen=True, kw_only=True, eq=False)
class Descent:
    """Where a descent stands that moves the same latents from step to step.

    Attributes:
        progress: 0 at its first step, 1 at its last.
        memory: What a score keeps from one step to the next, by names of its own.
    """

    progress: float
    memory: dict[str, Tensor] = field(default_factory=dict)


NO_DESCENT = (
    "score: {} follows the same pictures from step to step, which training a student does not; "
    "give another score"
)
"""With the name of a score that needs a descent."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreInput:
    """What a score looks at, by name: source and target are tensors of the same shapes.

    Attributes:
        z_tgt: Edited latents, (B, C, h, w).
        z_src: Source latents, (B, C, h, w).
        text_tgt: What the target's prompts say, of B rows or one.
        text_src: What the source's prompts say, of B rows or one.
        t: Timesteps, shared by both sides, long (B,).
        eps: Noise, shared by both sides, (B, C, h, w).
        guidance_scale: Scale s of classifier-free guidance, one number or (B,).
        text_neg: What guidance leads away from, of B rows or one; None is the empty prompt.
        descent: Where the descent stands; None where each step has other latents, as a student's
            training has. Only LUSD looks at it.
        same_source: Items whose source side is the same in all of this, as that of several targets
            of one picture; None where none are. DDS asks it once.
        neutral_source: Whether ``text_src`` is what guidance leads away from, such as an empty
            prompt. DDS asks the source's side once then, not twice.
        eps_src: What the teacher says of the source, guided, (B, C, h, w), where it has been asked
            before. Only scores with ``takes_eps_src`` look at it; None has them ask.
    """

    z_tgt: Tensor
    z_src: Tensor
    text_tgt: Conditioning
    text_src: Conditioning
    t: Tensor
    eps: Tensor
    guidance_scale: float | Tensor
    text_neg: Conditioning | None = None
    descent: Descent | None = None
    same_source: SameRows | None = None
    neutral_source: bool = False
    eps_src: Tensor | None = None


class Score(Protocol):
    """A gradient with respect to the edited latent: DDS, SDS, or another function like them.

    The gradient is raw. The caller masks it and replaces what is not finite, once, by
    :func:`i2i_dds.scores.gradient.guarded`. The weight w(t) is a field of the score and not the
    caller's, because it must not weigh SDSL2's L2 term and CDS's structure term.
    """

    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """The gradient with respect to ``inputs.z_tgt``, (B, C, h, w), without a graph."""
        ...
