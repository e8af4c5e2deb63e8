"""Copies of a score's inputs that a graph can be built on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from i2i_dds.scores.interface import ScoreInput
from i2i_dds.teacher.conditioning import Conditioning


def copied(inputs: ScoreInput) -> ScoreInput:
    """The same numbers in tensors of one's own.

    Tensors made in inference mode, as Lightning's validation does, cannot be in a graph; copies
    that are made outside of it can.
    """
    copies: dict[str, Any] = {
        name: value.clone()
        for name, value in vars(inputs).items()
        if isinstance(value, Tensor | Conditioning)
    }
    return replace(inputs, **copies)
