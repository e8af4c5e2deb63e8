"""The noising processes: variance preserving, and rectified flow.

Notation: ``z_t = alpha_t z + sigma_t eps``. A timestep t is a whole number in [0, T), the row of a
table of (alpha_t, sigma_t), whatever the family calls it. The clean latent has a timestep of its
own, :data:`CLEAN`, at which ``alpha = 1`` and ``sigma = 0``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from i2i_dds.checks import called, integer, number, require
from i2i_dds.diffusion.betas import betas_from_config, scaled_linear_betas
from i2i_dds.errors import UserError

CLEAN = -1

MOST_TIMESTEPS = 100_000
"""Of a process that a file describes."""

_MOST_SHIFT = 10.0
"""Of a flow's timesteps, as its logarithm."""

_FLOW_SCHEDULER = "FlowMatchEulerDiscreteScheduler"


class Process(ABC):
    """How latents are noised, and what a teacher's network predicts of it.

    Tables are kept in float64 and rounded once, to the type asked for, so that sigma keeps its
    digits at small t.

    Args:
        alpha: What multiplies the clean latent, (T,), decreasing.
        sigma: What multiplies the noise, (T,), increasing.

    Attributes:
        prediction_type: What the network predicts, in diffusers' words.
    """

    prediction_type: str

    def __init__(self, alpha: Tensor, sigma: Tensor) -> None:
        alpha, sigma = (one.detach().to("cpu", torch.float64) for one in (alpha, sigma))
        # Row 0 is the clean latent, row t + 1 is timestep t: a t past the end is an error.
        self._tables = {
            "alpha": torch.cat([alpha.new_ones(1), alpha]),
            "sigma": torch.cat([sigma.new_zeros(1), sigma]),
        }
        self._cast: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    def __len__(self) -> int:
        """The number of timesteps T."""
        return len(self._tables["alpha"]) - 1

    def alpha(self, t: Tensor | int, like: Tensor) -> Tensor:
        """``alpha_t`` as (B, 1, ...) of ``like``'s rank, type and device.

        Args:
            t: Timesteps, long (B,) or one int; each in [0, T) or :data:`CLEAN`.
            like: The tensor it will be multiplied with, (B, ...).
        """
        return self._lookup("alpha", t, like)

    def sigma(self, t: Tensor | int, like: Tensor) -> Tensor:
        """``sigma_t``, as :meth:`alpha`."""
        return self._lookup("sigma", t, like)

    def alpha_at(self, t: int) -> float:
        """``alpha_t`` of one timestep, in double precision.

        Raises:
            IndexError: t is outside [0, T) and is not CLEAN.
        """
        return self._at("alpha", t)

    def sigma_at(self, t: int) -> float:
        """``sigma_t`` of one timestep, as :meth:`alpha_at`."""
        return self._at("sigma", t)

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio ``alpha_t^2 / sigma_t^2``, float32 (B,); infinite at CLEAN."""
        alpha, sigma = (self._tables[name][t.to("cpu") + 1] for name in ("alpha", "sigma"))
        return (alpha**2 / sigma**2).to(t.device, torch.float32)

    def mix(self, z: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """``z_t = alpha_t z + sigma_t eps``; z and eps (B, ...)."""
        return self.alpha(t, z) * z + self.sigma(t, z) * eps

    def to_clean(self, z_t: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """The clean latent that ``eps`` implies: ``(z_t - sigma_t eps) / alpha_t``."""
        return (z_t - self.sigma(t, z_t) * eps) / self.alpha(t, z_t)

    @abstractmethod
    def to_eps(self, output: Tensor, z_t: Tensor, t: Tensor | int) -> Tensor:
        """The noise that the network's ``output`` stands for, whatever it predicts; (B, ...)."""

    @abstractmethod
    def target(self, z: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """What the network is to predict of a clean latent and its noise; (B, ...)."""

    def fingerprint(self) -> bytes:
        """Tells processes apart: the kind, what is predicted, and both tables."""
        kind = f"{type(self).__name__}/{self.prediction_type}".encode()
        return kind + b"".join(table.numpy().tobytes() for table in self._tables.values())

    def pairs(self, steps: int, t_start: float = 1.0) -> list[tuple[int, int]]:
        """The steps (t, t_prev), t > t_prev, of a sampler from ``t_start`` of the way to CLEAN.

        The grid has ``steps`` timesteps, ``i * floor(T / steps) + 1`` as Stable Diffusion's DDIM
        has (so 30 steps of 1000 begin at 958); ``t_start < 1`` keeps its lower
        ``t_start * steps`` of them, rounded and at least one. Each t_prev is the next t of the
        list.

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

    def _at(self, name: str, t: int) -> float:
        self._check(t)
        return self._tables[name][t + 1].item()

    def _check(self, t: int) -> None:
        if not CLEAN <= t < len(self):
            raise IndexError(f"timestep {t} is outside [0, {len(self)}) and is not CLEAN")


class VariancePreserving(Process):
    """``alpha_t = sqrt(abar_t)``, ``sigma_t = sqrt(1 - abar_t)``: Stable Diffusion's process.

    Args:
        alphas_cumprod: ``abar``, shape (T,), decreasing, within [0, 1].
        prediction_type: "epsilon" or "v_prediction".

    Raises:
        UserError: The prediction type is another.
    """

    PREDICTION_TYPES = ("epsilon", "v_prediction")

    def __init__(self, alphas_cumprod: Tensor, prediction_type: str = "epsilon") -> None:
        if prediction_type not in self.PREDICTION_TYPES:
            raise UserError(
                f"scheduler.prediction_type: '{prediction_type}' is not supported; "
                f"use a teacher trained with one of {', '.join(self.PREDICTION_TYPES)}"
            )
        self.prediction_type = prediction_type
        if not ((alphas_cumprod >= 0) & (alphas_cumprod <= 1)).all():
            raise UserError("alphas_cumprod: some are outside [0, 1]; give a schedule's own")
        self.alphas_cumprod = alphas_cumprod.detach().to("cpu", torch.float64)
        super().__init__(self.alphas_cumprod.sqrt(), (1 - self.alphas_cumprod).sqrt())

    @classmethod
    def scaled_linear(
        cls,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        steps: int = 1000,
        prediction_type: str = "epsilon",
    ) -> VariancePreserving:
        """Stable Diffusion's schedule: ``sqrt(beta)`` grows linearly over ``steps`` timesteps."""
        betas = scaled_linear_betas(beta_start, beta_end, steps)
        return cls(torch.cumprod(1 - betas, 0), prediction_type)

    @classmethod
    def from_scheduler_config(cls, config: Mapping[str, Any]) -> VariancePreserving:
        """The schedule of a diffusers ``scheduler_config.json``.

        Raises:
            UserError: The schedule or the prediction type is not one of those supported.
        """
        abar = torch.cumprod(1 - betas_from_config(config), 0)
        return cls(abar, config.get("prediction_type", "epsilon"))

    def abar_at(self, t: int) -> float:
        """``alphas_cumprod[t]`` of one timestep, in double precision; 1 at :data:`CLEAN`."""
        self._check(t)
        return 1.0 if t == CLEAN else self.alphas_cumprod[t].item()

    def to_eps(self, output: Tensor, z_t: Tensor, t: Tensor | int) -> Tensor:
        """For v prediction (Salimans & Ho 2022, appendix D) ``eps = alpha_t v + sigma_t z_t``."""
        if self.prediction_type == "epsilon":
            return output
        return self.alpha(t, z_t) * output + self.sigma(t, z_t) * z_t

    def target(self, z: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """eps, or ``v = alpha_t eps - sigma_t z``."""
        if self.prediction_type == "epsilon":
            return eps
        return self.alpha(t, z) * eps - self.sigma(t, z) * z


class RectifiedFlow(Process):
    """``z_t = (1 - s_t) z + s_t eps``, and the network predicts ``v = eps - z``.

    Liu et al., ICLR 2023; with ``shift`` as in Stable Diffusion 3 (Esser et al., ICML 2024,
    eq. 23): ``s = shift u / (1 + (shift - 1) u)`` of an even grid u in (0, 1), both ends left
    out, for at 1 nothing of the picture is left.

    Args:
        steps: T.
        shift: Above 1 lets more timesteps be noisy.

    Raises:
        UserError: ``steps`` is below 1, or ``shift`` is not above 0.
    """

    prediction_type = "flow_prediction"

    def __init__(self, steps: int = 1000, shift: float = 1.0) -> None:
        if steps < 1:
            raise UserError(f"steps: {steps} is not allowed; give 1 or more")
        if shift <= 0:
            raise UserError(f"shift: {shift} is not allowed; give more than 0")
        u = torch.arange(1, steps + 1, dtype=torch.float64) / (steps + 1)
        s = shift * u / (1 + (shift - 1) * u)
        super().__init__(1 - s, s)

    @classmethod
    def from_scheduler_config(
        cls, config: Mapping[str, Any], tokens: int | None = None
    ) -> RectifiedFlow:
        """The flow of a diffusers ``scheduler_config.json`` with matched flows.

        Args:
            config: The file's content.
            tokens: Of a picture at the model's own size, for a shift that depends on their number:
                ``shift = exp(mu)`` with mu on a line through ``base_shift`` and ``max_shift``.

        Raises:
            UserError: The scheduler is another, a number is not allowed, or its shift depends on
                the picture's size where that is not known.
        """
        kind = config.get("_class_name")
        if not str(kind).startswith("FlowMatch"):
            raise UserError(f"scheduler: {kind} has no flow; give a {_FLOW_SCHEDULER}")
        steps, shift = config.get("num_train_timesteps", 1000), config.get("shift", 1.0)
        if config.get("use_dynamic_shifting"):
            shift = _shift_for(config, tokens)
        with called({"steps": "scheduler.num_train_timesteps", "shift": "scheduler.shift"}):
            require("steps", steps, integer(min=1, max=MOST_TIMESTEPS))
            require("shift", shift, number(above=0))
            return cls(steps, shift)

    def to_eps(self, output: Tensor, z_t: Tensor, t: Tensor | int) -> Tensor:
        """``eps = z_t + (1 - s_t) v``, for ``z_t = z + s_t v`` and ``eps = z + v``."""
        return z_t + self.alpha(t, z_t) * output

    def target(self, z: Tensor, eps: Tensor, t: Tensor | int) -> Tensor:
        """``v = eps - z``."""
        return eps - z


def _shift_for(config: Mapping[str, Any], tokens: int | None) -> float:
    """``exp(mu)`` for a number of tokens, mu on the line through both ends of the config."""
    if tokens is None or config.get("time_shift_type", "exponential") != "exponential":
        raise UserError("scheduler.use_dynamic_shifting: True is not supported; give a fixed shift")
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    named = {"few": "base_image_seq_len", "many": "max_image_seq_len"}
    named |= {"low": "base_shift", "high": "max_shift"}
    with called({name: f"scheduler.{key}" for name, key in named.items()}):
        require("few", few, integer(min=1, max=MOST_TIMESTEPS))
        require("many", many, integer(min=few + 1, max=MOST_TIMESTEPS))
        require("low", low, number(min=0, max=_MOST_SHIFT))
        require("high", high, number(min=0, max=_MOST_SHIFT))
    mu = low + (tokens - few) * (high - low) / (many - few)
    return math.exp(max(-_MOST_SHIFT, min(mu, _MOST_SHIFT)))
