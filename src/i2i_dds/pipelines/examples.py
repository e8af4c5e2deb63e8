"""A picture to begin with."""

from __future__ import annotations

from PIL import Image

from i2i_dds.critters import render, scenes


def example_picture(species: str = "cat", size: int = 64) -> Image.Image:
    """A drawn animal of the held-out test scenes.

    Args:
        species: One of the twelve of Critters, such as "cat" or "owl".
        size: Side in pixels.
    """
    return render(next(iter(scenes("test", 1, 0, species=species))), size)
