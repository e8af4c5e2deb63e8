"""Which teacher a student was trained with, as far as a student depends on it.

A student edits the latents of one autoencoder, and one that reads text reads the embeddings of one
text encoder. What these make of a fixed picture and a fixed text tells them from others, in any
precision and on any device; names and files do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i_dds.teacher.interface import Teacher

CELLS = 8
"""Side of the latents that are compared."""

SAMPLES = 24
"""Numbers that are kept of them."""

TOLERANCE = 0.05
"""Relative distance of the same teacher in another precision, at most; others are above 0.5."""

Origin = dict[str, Any]
"""Plain values, as a student's config keeps them."""


def describe_teacher(teacher: Teacher, text: str | None = None) -> Origin:
    """What a student keeps of its teacher.

    Args:
        teacher: The one it is trained with.
        text: An instruction that it reads; None for a student that reads no text.
    """
    config = getattr(getattr(teacher, "vae", None), "config", None)
    return {
        "family": getattr(teacher, "choice", type(teacher).__name__),
        "name": _public(getattr(teacher, "source", None)),
        "latent_channels": teacher.latent_channels,
        "vae_scale_factor": teacher.vae_scale_factor,
        "scaling_factor": getattr(config, "scaling_factor", None),
        "shift_factor": getattr(config, "shift_factor", None),
        "native_size": teacher.native_size,
        "latents": _sampled(teacher.encode(_picture(teacher.vae_scale_factor))),
        "text": None if text is None else _sampled(teacher.embed([text]).embeddings),
    }


def difference_of_teachers(origin: Mapping[str, Any], teacher: Teacher, text: str | None) -> str:
    """Why a teacher is not the one that a student was trained with, "" if it may be.

    Args:
        origin: What the student keeps, see :func:`describe_teacher`.
        teacher: The one at hand.
        text: As there.
    """
    found = describe_teacher(teacher, None)
    for name in ("latent_channels", "vae_scale_factor"):
        if origin.get(name) != found[name]:
            return f"whose {name} is {origin.get(name)} and not {found[name]}"
    for name in ("scaling_factor", "shift_factor"):
        if (origin.get(name) or 0) != (found[name] or 0):
            return f"whose {name} is {origin.get(name)} and not {found[name]}"
    if _differ(origin.get("latents"), found["latents"]):
        return "with another autoencoder"
    if text is None or origin.get("text") is None:
        return ""
    differs = _differ(origin["text"], _sampled(teacher.embed([text]).embeddings))
    return "with another text encoder" if differs else ""


def named(origin: Mapping[str, Any]) -> str:
    """What to call the teacher: its name and family, as far as they are known."""
    name, family = origin.get("name"), origin.get("family")
    return f"'{name}', family {family}" if name else f"of family {family}"


def _picture(factor: int) -> Tensor:
    """Waves of another length in each channel, (1, 3, H, W) in [-1, 1]."""
    places = torch.linspace(0, 1, CELLS * factor)
    rows, columns = places[:, None], places[None, :]
    return torch.stack(
        [torch.sin(6 * (k * rows + columns) + k) * torch.cos(4 * k * columns) for k in (1, 2, 3)]
    )[None]


def _sampled(x: Tensor) -> list[float] | None:
    """Evenly spaced values; None where they are not finite, or where there are shapes alone."""
    if x.is_meta:
        return None
    flat = x.detach().to("cpu", torch.float32).flatten()
    values = flat[torch.linspace(0, len(flat) - 1, min(SAMPLES, len(flat))).long()]
    return [round(value, 5) for value in values.tolist()] if values.isfinite().all() else None


def _differ(one: Any, other: list[float] | None) -> bool:
    """Whether samples are of two networks; unknown ones are of no other."""
    if one is None or other is None:
        return False
    a, b = torch.tensor([float(v) for v in one]), torch.tensor(other)
    return a.shape != b.shape or bool((a - b).norm() > TOLERANCE * max(a.norm(), b.norm()))


def _public(source: str | None) -> str | None:
    """A teacher's name without the folders that lead to it, for a student may be published."""
    if source is None:
        return None
    path = Path(source)
    hub_id = source.count("/") == 1 and not path.exists()
    return source if hub_id else path.name
