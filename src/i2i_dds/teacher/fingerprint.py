"""Which weights these are, told quickly."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor, nn

_SAMPLE = 64
"""Values of each tensor that are looked at."""


def fingerprint(teacher: Any, networks: Iterable[nn.Module] = ()) -> bytes:
    """Tells teachers apart by a sample of every tensor, which any training changes.

    All of them would take seconds for a Stable Diffusion, and a path or a hub id says too little.

    Args:
        teacher: Whose networks are looked at, as far as it shows them.
        networks: Others that belong to them, such as a student.
    """
    named = blake2b(digest_size=16)
    named.update(teacher.process.fingerprint())
    named.update(str(teacher.dtype).encode())
    own = [getattr(teacher, part, None) for part in ("network", "vae")]
    own += getattr(teacher, "text_encoders", [])
    for network in (*own, *networks):
        for name, tensor in network.state_dict().items() if network is not None else ():
            flat = tensor.flatten()
            named.update(f"{name}{tuple(tensor.shape)}".encode())
            named.update(tensor_bytes(flat[:: max(1, len(flat) // _SAMPLE)]))
    return named.digest()


def tensor_bytes(tensor: Tensor) -> bytes:
    """The values of a tensor, in single precision."""
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
