"""From a scene to its picture and to the mask of the animal in it."""

from __future__ import annotations

from typing import Literal

from PIL import Image, ImageChops, ImageDraw

from i2i_dds.critters.backdrops import draw_backdrop
from i2i_dds.critters.coat import Coat
from i2i_dds.critters.features import draw_accessory, draw_eyes, draw_mouth
from i2i_dds.critters.pen import Frame, Pen
from i2i_dds.critters.scene import Scene
from i2i_dds.critters.species import FACES

_SUPERSAMPLE = 4

Part = Literal["animal", "accessory", "ears"]


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


def coverage(scene: Scene, size: int = 64, part: Part = "animal") -> Image.Image:
    """How much of each pixel a part of the scene covers: 255 is all of it (mode L).

    Args:
        scene: what is drawn.
        size: the picture's side in pixels.
        part: "animal" with its accessory, its "accessory", or its upright "ears" where neither
            the head nor the accessory hides them. Black if the scene has no such part.
    """
    drawn = _stencil(scene, size, part)
    if part == "ears":
        drawn = ImageChops.subtract(drawn, _stencil(scene, size, "head and accessory"))
    return drawn.reduce(_SUPERSAMPLE)


def frame(scene: Scene, size: int = 64) -> Frame:
    """The way from the coordinates of a scene's face to the pixels of its picture."""
    x, y, radius = scene.x * size, scene.y * size, scene.size * size
    return Frame(x, y, radius, scene.tilt, scene.mirrored)


def _stencil(scene: Scene, size: int, part: str) -> Image.Image:
    side = size * _SUPERSAMPLE
    stencil = Image.new("L", (side, side), 0)
    _draw_animal(ImageDraw.Draw(stencil), scene, side, part)
    return stencil


def _draw_animal(draw: ImageDraw.ImageDraw, scene: Scene, side: int, part: str = "animal") -> None:
    face, coat = FACES[scene.species], Coat.of(scene.fur)
    place = frame(scene, side)
    pen = Pen(place.x, place.y, place.radius, place.tilt, place.mirrored, draw)
    if part in ("animal", "ears") and face.ears is not None:
        face.ears.draw(pen, coat, scene.ear_length, scene.ear_lean)
    if part in ("animal", "head and accessory"):
        face.draw(pen, coat)
        draw_eyes(pen, face, scene.eyes, scene.expression)
        draw_mouth(pen, face, scene.expression)
        if face.overlay is not None:
            face.overlay(pen, coat)
    if part != "ears":
        draw_accessory(pen.shifted((scene.wear_x, scene.wear_y)), face, scene.accessory)
