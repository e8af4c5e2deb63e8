"""Whether a training fits in a device's memory, and which settings make it fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from i2i_dds.errors import UserError
from i2i_dds.training.memory import StepMemory

GIB = 2**30
_UNCOUNTED, _GAPS = GIB, 0.05
"""Assumed, not measured: a device's context and its kernels' workspaces; the allocator's gaps."""


@dataclass(frozen=True)
class PlanSettings:
    """What of a training's settings its memory depends on.

    Attributes:
        batch_size: ``data.batch_size``.
        accumulate: ``trainer.accumulate_grad_batches``.
        teacher_dtype: ``teacher.dtype``.
        precision: ``trainer.precision``.
        checkpointing: ``gradient_checkpointing``.
        average: Whether ``callbacks.ema`` is there.
    """

    batch_size: int
    accumulate: int
    teacher_dtype: str
    precision: str
    checkpointing: bool
    average: bool

    def changes(self, other: PlanSettings) -> list[str]:
        """What to type for the other in place of this."""
        keys = {
            "batch_size": "data.batch_size",
            "accumulate": "trainer.accumulate_grad_batches",
            "teacher_dtype": "teacher.dtype",
            "precision": "trainer.precision",
            "checkpointing": "gradient_checkpointing",
        }
        typed = [
            f"{key}={str(getattr(other, name)).lower()}"
            for name, key in keys.items()
            if getattr(self, name) != getattr(other, name)
        ]
        return [*typed, *(["callbacks.ema=null"] if self.average and not other.average else [])]


@dataclass(frozen=True)
class Plan:
    """One way to train, and what it takes.

    Attributes:
        settings: The way.
        typed: What to type for it beside what was typed.
        memory: Counted.
        fits: Whether it is within the device's memory, with what is assumed besides.
    """

    settings: PlanSettings
    typed: list[str]
    memory: StepMemory
    fits: bool

    @property
    def needed(self) -> int:
        """Bytes, with what is assumed besides."""
        return needed(self.memory)


def needed(memory: StepMemory) -> int:
    """Bytes of a device that a step needs, with what is not counted."""
    return int(memory.total * (1 + _GAPS)) + _UNCOUNTED


def parse_memory(text: str) -> int:
    """Bytes of "24GB"; as cards are sold, a GB is 2^30 of them.

    Raises:
        UserError: It is no such text.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*Gi?B\s*", str(text), re.IGNORECASE)
    if found is None or not float(found[1]):
        raise UserError(f"gpu: {text!r} is not allowed; give a device's memory, such as 24GB")
    return int(float(found[1]) * GIB)


def easier(settings: PlanSettings) -> Iterator[PlanSettings]:
    """Ways that take less and less, each with the changes of the one before; the cheapest first."""
    if settings.teacher_dtype in ("float32", "float64"):
        yield (settings := replace(settings, teacher_dtype="float16"))
    if not settings.checkpointing:
        yield (settings := replace(settings, checkpointing=True))
    if settings.precision == "32-true":
        yield (settings := replace(settings, precision="bf16-mixed"))
    while settings.batch_size > 1 and settings.batch_size % 2 == 0:
        settings = replace(
            settings, batch_size=settings.batch_size // 2, accumulate=2 * settings.accumulate
        )
        yield settings
    if settings.average:
        yield replace(settings, average=False)


def plans(
    settings: PlanSettings, limit: int, count: Callable[[PlanSettings], StepMemory]
) -> list[Plan]:
    """The way that is asked for, and where it does not fit, easier ones up to the first that does.

    Args:
        settings: What is asked for.
        limit: Bytes of the device.
        count: What a way takes.
    """
    found: list[Plan] = []
    for way in (settings, *easier(settings)):
        memory = count(way)
        found.append(Plan(way, settings.changes(way), memory, needed(memory) <= limit))
        if found[-1].fits:
            break
    return found


def table(found: list[Plan]) -> str:
    """The ways below one another, in GiB."""
    names = ("teacher", "student", "gradients", "optimizer", "average", "encoding", "step")
    lines = [f"{'GiB':10}" + "".join(f"{name:>10}" for name in (*names, "needed", "fits"))]
    for plan in found:
        parts: list[Any] = [getattr(plan.memory, name) / GIB for name in names]
        cells = "".join(f"{part:10.2f}" for part in (*parts, plan.needed / GIB))
        lines.append(f"{'':10}{cells}{'yes' if plan.fits else 'no':>10}")
        lines.append(f"  {' '.join(plan.typed) or 'as it was typed'}")
    return "\n".join(lines)
