"""The one noise schedule.

Notation: ``abar_t = alphas_cumprod[t]``, ``alpha_t = sqrt(abar_t)``,
``sigma_t = sqrt(1 - abar_t)`` and ``z_t = alpha_t z + sigma_t eps``. The clean latent has a
timestep of its own, :data:`CLEAN`, at which ``alpha = 1`` and ``sigma = 0``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from i2i_dds.diffusion.betas import betas_from_config, scaled_linear_betas
from i2i_dds.errors import UserError

CLEAN = -1
PREDICTION_TYPES = ("epsilon", "v_prediction")


class NoiseSchedule:
    """A variance-preserving schedule and what the teacher's network predicts under it.

    Tables are kept in float64 and rounded once, to the type asked for, so that
    ``1 - abar_t`` keeps its digits at small ``t``.

    Args:
        alphas_cumprod: ``abar``, shape (T,), decreasing, within [0, 1].
        prediction_type: ``"epsilon"`` or ``"v_prediction"``.

    Raises:
        UserError: The prediction type is another.
    """

    def __init__(self, alphas_cumprod: Tensor, prediction_type: str = "epsilon") -> None:
        if prediction_type not in PREDICTION_TYPES:
            raise UserError(
                f"scheduler.prediction_type: '{prediction_type}' is not supported; "
                f"use a teacher trained with one of {', '.join(PREDICTION_TYPES)}"
            )
        self.prediction_type = prediction_type
        self.alphas_cumprod = alphas_cumprod.detach().to("cpu", torch.float64)
        # Row 0 is the clean latent, row t + 1 is timestep t: a t past the end is an error.
        abar = torch.cat([torch.ones(1, dtype=torch.float64), self.alphas_cumprod])
        self._tables = {"abar": abar, "alpha": abar.sqrt(), "sigma": (1 - abar).sqrt()}
        self._cast: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    @classmethod
    def scaled_linear(
        cls,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        steps: int = 1000,
        prediction_type: str = "epsilon",
    ) -> NoiseSchedule:
        """Stable Diffusion's schedule: ``sqrt(beta)`` grows linearly over ``steps`` timesteps."""
        betas = scaled_linear_betas(beta_start, beta_end, steps)
        return cls(torch.cumprod(1 - betas, 0), prediction_type)

    @classmethod
    def from_scheduler_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """The schedule of a diffusers ``scheduler_config.json``.

        Raises:
            UserError: The schedule or the prediction type is not one of those supported.
        """
        abar = torch.cumprod(1 - betas_from_config(config), 0)
        return cls(abar, config.get("prediction_type", "epsilon"))

    def __len__(self) -> int:
        """The number of timesteps T."""
        return len(self.alphas_cumprod)

    def abar(self, t: Tensor | int, like: Tensor) -> Tensor:
        """``alphas_cumprod[t]`` as (B, 1, ...) of ``like``'s rank, type and device.

        Args:
            t: Timesteps, long (B,) or one int; each in [0, T) or :data:`CLEAN`.
            like: The tensor it will be multiplied with, (B, ...).
        """
        return self._lookup("abar", t, like)

    def abar_at(self, t: int) -> float:
        """``alphas_cumprod[t]`` of one timestep, in double precision; 1 at :data:`CLEAN`.

        Raises:
            IndexError: t is outside [0, T) and is not CLEAN.
        """
        self._check(t)
        return self._tables["abar"][t + 1].item()

    def alpha(self, t: Tensor | int, like: Tensor) -> Tensor:
        """``alpha_t = sqrt(abar_t)``, as :meth:`abar`."""
        return self._lookup("alpha", t, like)

    def sigma(self, t: Tensor | int, like: Tensor) -> Tensor:
        """``sigma_t = sqrt(1 - abar_t)``, as :meth:`abar`."""
        return self._lookup("sigma", t, like)

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio ``abar_t / (1 - abar_t)``, float32 (B,); infinite at CLEAN."""
        abar = self._tables["abar"][t.to("cpu") + 1]
        return (abar / (1 - abar)).to(t.device, torch.float32)

    def add_noise(self, z: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """``z_t = alpha_t z + sigma_t eps``; z and eps (B, ...)."""
        return self.alpha(t, z) * z + self.sigma(t, z) * eps

    def to_eps(self, output: Tensor, z_t: Tensor, t: Tensor | int) -> Tensor:
        """The noise that the network's ``output`` stands for, whatever it predicts.

        For v prediction (Salimans & Ho 2022, appendix D) ``eps = alpha_t v + sigma_t z_t``.
        """
        if self.prediction_type == "epsilon":
            return output
        return self.alpha(t, z_t) * output + self.sigma(t, z_t) * z_t

    def to_x0(self, z_t: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """The clean latent implied by ``eps``: ``(z_t - sigma_t eps) / alpha_t``."""
        return (z_t - self.sigma(t, z_t) * eps) / self.alpha(t, z_t)

    def v_from(self, z: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """The v target ``alpha_t eps - sigma_t z`` of a clean latent and its noise."""
        return self.alpha(t, z) * eps - self.sigma(t, z) * z

    def pairs(self, steps: int, t_start: float = 1.0) -> list[tuple[int, int]]:
        """The steps (t, u), t > u, of a sampler from ``t_start`` of the way down to CLEAN.

        The grid has ``steps`` timesteps, ``i * floor(T / steps) + 1`` as Stable Diffusion's DDIM
        has (so 30 steps of 1000 begin at 958); ``t_start < 1`` keeps its lower
        ``t_start * steps`` of them, rounded and at least one. Each u is the next t of the list.

        Raises:
            UserError: ``steps`` is not in [1, T], T is so far from a multiple of it that a tenth
                of the timesteps or more would be left over, or ``t_start`` is not in (0, 1].
        """
        total = len(self)
        if not 1 <= steps <= total:
            raise UserError(f"steps: {steps} is not allowed; give 1 to {total}")
        stride = total // steps
        if stride * steps < 0.9 * total:
            raise UserError(
                f"steps: {steps} is not allowed, a timestep in {stride} would end at "
                f"{stride * steps} of {total}; give {total // (stride + 1)} or {total // stride}"
            )
        if not 0 < t_start <= 1:
            raise UserError(f"t_start: {t_start} is not allowed; give a fraction in (0, 1]")
        offset = 1 if steps < total else 0
        kept = max(1, round(steps * t_start))
        grid = [i * stride + offset for i in reversed(range(kept))]
        return list(zip(grid, [*grid[1:], CLEAN], strict=True))

    def _lookup(self, name: str, t: Tensor | int, like: Tensor) -> Tensor:
        key = (name, like.device, like.dtype)
        if key not in self._cast:
            self._cast[key] = self._tables[name].to(like.dtype).to(like.device)
        if isinstance(t, int):
            self._check(t)
            t = torch.tensor([t])
        values = self._cast[key][t.to(like.device) + 1]
        return values.reshape(-1, *[1] * (like.ndim - 1))

    def _check(self, t: int) -> None:
        if not CLEAN <= t < len(self):
            raise IndexError(f"timestep {t} is outside [0, {len(self)}) and is not CLEAN")
