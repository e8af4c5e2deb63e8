"""What comes back from a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from i2i_dds.editing.batches import Point


@dataclass(frozen=True)
class EditOutput:
    """Edited pictures, in the order asked for: every target of the first picture, and so on.

    Attributes:
        images: The edited pictures.
        latents: Each picture's edited latent, (C, h, w), on the CPU.
        history: Each picture's steps.
        masks: Each picture's mask that was found, (1, h, w) at latent size; empty where none was
            looked for.
        settings: What was run: editor, its numbers, seed, and where the presets come from.
        nonfinite: Entries of gradients that were NaN or infinite and counted as 0.
    """

    images: tuple[Image.Image, ...]
    latents: tuple[Tensor, ...]
    history: tuple[tuple[Point, ...], ...] = ()
    masks: tuple[Tensor, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    nonfinite: int = 0
