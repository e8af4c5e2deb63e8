"""Devices and number types as a person writes them in a config."""

from __future__ import annotations

from typing import Any

import torch

from i2i_dds.distributed import launched_local_rank
from i2i_dds.errors import UserError

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


def resolve_device(device: str | torch.device) -> torch.device:
    """The torch device of "auto", "cpu", "cuda", "cuda:1", "mps".

    Of several processes on one machine (torchrun, SLURM, Lightning) each has its own GPU by "auto".

    Raises:
        UserError: No such device, or none on this machine.
    """
    if isinstance(device, torch.device):
        return device
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", _own_gpu())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise UserError(
            f"device: '{device}' is unknown; give auto, cpu, cuda, cuda:N or mps"
        ) from None
    missing = (found.type == "cuda" and not torch.cuda.is_available()) or (
        found.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise UserError(f"device: this machine has no '{device}'; give auto or cpu")
    return found


def _own_gpu() -> int:
    number = launched_local_rank()
    return torch.cuda.current_device() if number is None else number % torch.cuda.device_count()


def resolve_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The torch type of a name in :data:`DTYPES`; "auto" is half precision on a GPU only.

    Raises:
        UserError: No such type.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise UserError(f"dtype: '{dtype}' is unknown; give auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]


def frozen(module: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A network on a device and in a type, set to evaluation and not to be trained."""
    if module.dtype != dtype:
        module = module.to(dtype=dtype)
    return module.to(device).eval().requires_grad_(False)
