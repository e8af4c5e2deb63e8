"""From a scene to its picture and to the mask of the animal in it."""

from __future__ import annotations

from PIL import Image, ImageDraw

from i2i_dds.critters.backdrops import draw_backdrop
from i2i_dds.critters.features import draw_accessory, draw_eyes, draw_mouth
from i2i_dds.critters.pen import Pen
from i2i_dds.critters.scene import Scene
from i2i_dds.critters.species import FACES, Coat

_SUPERSAMPLE = 4


def render(scene: Scene, size: int = 64) -> Image.Image:
    """Draws a scene.

    Drawn four times larger and averaged over 4 x 4 pixels, so that a pixel changes only if
    something inside it does.

    Args:
        scene: what to draw.
        size: the picture's side in pixels.

    Returns:
        An RGB picture of `size` x `size`.
    """
    image = draw_backdrop(scene.backdrop, scene.variant, size * _SUPERSAMPLE)
    _draw_animal(ImageDraw.Draw(image), scene, size * _SUPERSAMPLE)
    return image.reduce(_SUPERSAMPLE)


def object_mask(scene: Scene, size: int = 64) -> Image.Image:
    """Where the animal and its accessory are: 255 in every pixel they touch, else 0.

    Returns:
        A picture of mode L and `size` x `size`.
    """
    return coverage(scene, size).point([0] + [255] * 255)


def coverage(scene: Scene, size: int = 64) -> Image.Image:
    """How much of each pixel the animal and its accessory cover: 255 is all of it (mode L)."""
    covered = Image.new("L", (size * _SUPERSAMPLE, size * _SUPERSAMPLE), 0)
    _draw_animal(ImageDraw.Draw(covered), scene, size * _SUPERSAMPLE)
    return covered.reduce(_SUPERSAMPLE)


def _draw_animal(draw: ImageDraw.ImageDraw, scene: Scene, side: int) -> None:
    face, coat = FACES[scene.species], Coat.of(scene.fur)
    pen = Pen(draw, scene.x * side, scene.y * side, scene.size * side, scene.tilt, scene.mirrored)
    face.draw(pen, coat)
    draw_eyes(pen, face, scene.eyes, scene.expression)
    draw_mouth(pen, face, scene.expression)
    if face.overlay is not None:
        face.overlay(pen, coat)
    draw_accessory(pen, face, scene.accessory)
