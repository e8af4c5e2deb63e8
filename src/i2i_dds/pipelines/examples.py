"""A teacher and a picture to begin with."""

from __future__ import annotations

from typing import Any

from PIL import Image

from i2i_dds.critters import render, scenes
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


def load_teacher(path: str = "pocket", **options: Any) -> StableDiffusionTeacher:
    """The teacher at ``path``; arguments and errors as :meth:`StableDiffusionTeacher.load` has.

    Args:
        path: "pocket", a diffusers Stable Diffusion folder, or a hub id.
        **options: ``device``, ``dtype``, ``revision``, ``variant``, ``local_files_only``,
            ``presets``.
    """
    return StableDiffusionTeacher.load(path, **options)


def example_picture(species: str = "cat", size: int = 64) -> Image.Image:
    """A drawn animal of the held-out test scenes.

    Args:
        species: One of the twelve of Critters, such as "cat" or "owl".
        size: Side in pixels.
    """
    return render(next(iter(scenes("test", 1, 0, species=species))), size)
