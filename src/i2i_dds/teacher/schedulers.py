"""From the scheduler file of a checkpoint to the noising process its networks were trained under.

A sampler does not matter here, the process it solves does. So only classes of diffusers are read
that solve the discrete process of Stable Diffusion, each with its own defaults for absent keys.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import diffusers

from i2i_dds.checks import is_number
from i2i_dds.diffusion.process import MOST_TIMESTEPS, VariancePreserving
from i2i_dds.errors import UserError

SCHEDULERS = (
    *("DDIMScheduler", "DDIMParallelScheduler", "DDIMInverseScheduler"),
    *("DDPMScheduler", "DDPMParallelScheduler", "PNDMScheduler", "LMSDiscreteScheduler"),
    *("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler"),
    *("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"),
    *("DPMSolverMultistepScheduler", "DPMSolverMultistepInverseScheduler"),
    *("DPMSolverSinglestepScheduler", "DPMSolverSDEScheduler", "SASolverScheduler"),
    *("UniPCMultistepScheduler", "DEISMultistepScheduler", "LCMScheduler", "TCDScheduler"),
)
"""Names of diffusers' schedulers whose process is the variance preserving one."""

_DECIDING = (
    *("beta_start", "beta_end", "beta_schedule", "trained_betas", "num_train_timesteps"),
    *("prediction_type", "rescale_betas_zero_snr"),
)
_OTHER_PROCESS = {"use_flow_sigmas": (False, None), "timestep_type": ("discrete", None)}
"""Keys by which such a class solves another process, and the values by which it does not."""

_SHARED = {
    "trained_betas": None,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
}
"""Defaults that all of these classes share; those of the betas differ."""


def process_from_scheduler(config: Mapping[str, Any]) -> VariancePreserving:
    """The process of a ``scheduler_config.json``.

    Args:
        config: Its content.

    Raises:
        UserError: The class is missing or not one of :data:`SCHEDULERS`, it is set to solve
            another process, or a value is not allowed.
    """
    name = config.get("_class_name")
    if name not in SCHEDULERS:
        raise UserError(
            f"scheduler._class_name: {name!r:.60} is not supported, for its process is not that "
            f"of noise prediction; use a teacher with one of {', '.join(SCHEDULERS)}"
        )
    for key, allowed in _OTHER_PROCESS.items():
        if config.get(key) not in allowed:
            raise UserError(
                f"scheduler.{key}: {config[key]!r:.60} makes {name} solve another process than "
                f"that of noise prediction; use a teacher with {allowed[0]!r}"
            )
    values = {**_defaults(name), **{key: config[key] for key in _DECIDING if key in config}}
    if absent := [key for key in _DECIDING if key not in values]:
        raise UserError(  # a class that needs a package which is not installed shows no defaults
            f"scheduler.{absent[0]}: {name} is saved without it, and what it takes then is not "
            "known here; use a teacher whose scheduler_config.json has it"
        )
    _check(values)
    return VariancePreserving.from_scheduler_config(values)


def _defaults(name: str) -> dict[str, Any]:
    """What the class takes for the keys that a file leaves out."""
    kind = getattr(diffusers, name, None)
    signature = {} if kind is None else inspect.signature(kind.__init__).parameters
    return {**_SHARED, **{key: signature[key].default for key in _DECIDING if key in signature}}


def _check(values: Mapping[str, Any]) -> None:
    """Refuses numbers that no schedule has."""
    steps = values["num_train_timesteps"]
    if not is_number(steps) or steps != int(steps) or not 1 <= steps <= MOST_TIMESTEPS:
        _refuse("num_train_timesteps", steps, f"a whole number from 1 to {MOST_TIMESTEPS}")
    for key in ("beta_start", "beta_end"):
        if not is_number(values[key]) or not 0 < values[key] < 1:
            _refuse(key, values[key], "a number between 0 and 1")
    betas = values["trained_betas"]
    if betas is not None and not (
        isinstance(betas, list)
        and len(betas) == steps
        and all(is_number(beta) and 0 <= beta <= 1 for beta in betas)
    ):
        _refuse("trained_betas", betas, f"num_train_timesteps = {steps} numbers from 0 to 1")
    zero = values["rescale_betas_zero_snr"]
    if not isinstance(zero, bool):
        _refuse("rescale_betas_zero_snr", zero, "true or false")
    if zero and values["prediction_type"] == "epsilon":
        raise UserError(
            "scheduler.rescale_betas_zero_snr: true goes with v_prediction, for at the last "
            "timestep the noise says nothing of the picture; use a teacher trained so"
        )


def _refuse(key: str, value: Any, allowed: str) -> None:
    raise UserError(f"scheduler.{key}: {value!r:.60} is not allowed; use a teacher with {allowed}")
