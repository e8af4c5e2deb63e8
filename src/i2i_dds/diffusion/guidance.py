"""Classifier-free guidance: the only place where its formula is written."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


def classifier_free_guidance(eps_uncond: Tensor, eps_cond: Tensor, scale: float | Tensor) -> Tensor:
    """``eps_uncond + s (eps_cond - eps_uncond)`` (Ho & Salimans 2022, in Imagen's convention).

    Args:
        eps_uncond: Noise predicted without the prompt, (B, ...).
        eps_cond: Noise predicted with the prompt, (B, ...).
        scale: s, one number or (B,). 0 is the unconditional answer, 1 the conditional one.
    """
    if isinstance(scale, Tensor):
        scale = scale.to(eps_cond).reshape(-1, *[1] * (eps_cond.ndim - 1))
    return eps_uncond + scale * (eps_cond - eps_uncond)


@dataclass(frozen=True)
class LinearScale:
    """A scale of guidance that is linear in the timestep.

    Attributes:
        low: At t = 0.
        high: At ``t_high`` and beyond.
        t_high: A timestep.
    """

    low: float
    high: float
    t_high: int

    def __call__(self, t: int) -> float:
        """The scale at timestep t."""
        return self.low + (self.high - self.low) * min(1.0, t / max(1, self.t_high))
