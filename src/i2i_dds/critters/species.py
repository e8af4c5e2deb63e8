"""The twelve species: each draws its head and markings; the features come on top."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from i2i_dds.critters.coat import INK, ORANGE, ROSE, SKIN, WHITE, Coat
from i2i_dds.critters.ears import CAT_EARS, FOX_EARS, OWL_EARS, RABBIT_EARS, Ears
from i2i_dds.critters.pen import Pen, arc_points, blend, shade


def cat(pen: Pen, coat: Coat) -> None:
    """Whiskers."""
    pen.ellipse((0, 0), 1.0, 0.86, coat.base, coat.outline)
    for x in (-0.2, 0.0, 0.2):
        pen.stroke([(x, -0.76), (x * 0.7, -0.5)], 0.1, coat.dark)
    pen.pair((-0.2, 0.36), 0.27, 0.21, coat.light)
    for y, dy in ((0.24, -0.1), (0.42, 0.08)):
        pen.stroke_pair([(0.55, y), (1.18, y + dy)], 0.07, coat.outline)
    pen.polygon([(-0.15, 0.16), (0.15, 0.16), (0, 0.33)], ROSE, INK)


def dog(pen: Pen, coat: Coat) -> None:
    """Hanging ears and a patch round one eye."""
    pen.ellipse((0, 0), 0.86, 0.96, coat.base, coat.outline)
    pen.ellipse((0.38, -0.14), 0.34, 0.4, coat.dark, turn=12)
    pen.ellipse((0, 0.46), 0.52, 0.44, coat.light)
    pen.pair((-0.9, -0.02), 0.29, 0.78, coat.dark, coat.outline, 10)
    pen.ellipse((0, 0.24), 0.23, 0.17, INK)


def lion(pen: Pen, coat: Coat) -> None:
    """A mane."""
    mane = blend(coat.dark, (140, 66, 24), 0.45)
    for i in range(14):
        angle = 2 * math.pi * i / 14
        center = (1.1 * math.cos(angle), 1.08 * math.sin(angle))
        pen.ellipse(center, 0.33, 0.33, mane, shade(mane, 0.6))
    pen.ellipse((0, 0), 1.16, 1.14, mane)
    pen.pair((-0.68, -0.72), 0.25, 0.25, coat.base, coat.outline)
    pen.ellipse((0, 0.02), 0.86, 0.82, coat.base)
    pen.pair((-0.19, 0.42), 0.26, 0.22, coat.light)
    pen.polygon([(-0.22, 0.14), (0.22, 0.14), (0.07, 0.35), (-0.07, 0.35)], INK)


def tiger(pen: Pen, coat: Coat) -> None:
    """Stripes and white cheeks."""
    pen.pair((-0.72, -0.7), 0.3, 0.3, coat.base, coat.outline)
    pen.pair((-0.72, -0.7), 0.15, 0.15, WHITE)
    pen.ellipse((0, 0), 1.0, 0.92, coat.base, coat.outline)
    pen.pair((-0.5, 0.42), 0.42, 0.36, WHITE)
    pen.polygon([(-0.1, -0.9), (0.1, -0.9), (0, -0.3)], INK)
    pen.polygon_pair([(-0.42, -0.84), (-0.24, -0.9), (-0.2, -0.46)], INK)
    for y in (-0.3, 0.04, 0.38):
        edge = math.sqrt(1 - (y / 0.94) ** 2)
        pen.polygon_pair([(-edge, y - 0.11), (-edge, y + 0.11), (-0.6, y + 0.06)], INK)
    pen.pair((-0.18, 0.42), 0.25, 0.21, WHITE)
    pen.polygon([(-0.18, 0.16), (0.18, 0.16), (0, 0.34)], ROSE, INK)


def fox(pen: Pen, coat: Coat) -> None:
    """A pointed white chin."""
    head = [(0, -0.72), (0.6, -0.62), (1.18, 0.22), (0.42, 0.62), (0, 1.0)]
    head += [(-x, y) for x, y in head[3:0:-1]]
    pen.polygon(head, coat.base, coat.outline)
    pen.polygon_pair([(-1.18, 0.22), (-0.5, 0.1), (-0.02, 0.5), (0, 1.0), (-0.42, 0.62)], WHITE)
    pen.ellipse((0, 0.36), 0.19, 0.14, INK)


def bear(pen: Pen, coat: Coat) -> None:
    """Round ears and a large muzzle."""
    pen.pair((-0.72, -0.72), 0.38, 0.38, coat.base, coat.outline)
    pen.pair((-0.72, -0.72), 0.2, 0.2, coat.dark)
    pen.ellipse((0, 0), 1.0, 0.96, coat.base, coat.outline)
    pen.ellipse((0, 0.42), 0.5, 0.42, coat.light)
    pen.ellipse((0, 0.2), 0.24, 0.16, INK)


def panda(pen: Pen, coat: Coat) -> None:
    """Dark ears and patches round the eyes."""
    pen.pair((-0.74, -0.74), 0.38, 0.38, INK)
    pen.ellipse((0, 0), 1.04, 0.94, coat.base, coat.outline)
    pen.pair((-0.42, -0.06), 0.31, 0.41, INK, turn=28)
    pen.ellipse((0, 0.32), 0.18, 0.12, INK)


def rabbit(pen: Pen, coat: Coat) -> None:
    """Two front teeth."""
    pen.ellipse((0, 0.04), 0.9, 0.86, coat.base, coat.outline)
    pen.pair((-0.2, 0.38), 0.25, 0.2, coat.light)
    pen.polygon([(-0.13, 0.74), (0.13, 0.74), (0.13, 1.0), (-0.13, 1.0)], WHITE, coat.outline)
    pen.ellipse((0, 0.26), 0.13, 0.1, ROSE)


def pig(pen: Pen, coat: Coat) -> None:
    """A snout."""
    ear = [(-0.9, -0.35), (-1.08, -1.0), (-0.3, -0.78)]
    pen.ellipse((0, 0), 1.02, 0.94, coat.base, coat.outline)
    pen.polygon_pair(ear, coat.dark, coat.outline)
    pen.ellipse((0, 0.28), 0.46, 0.33, coat.dark, coat.outline)
    pen.pair((-0.17, 0.28), 0.09, 0.15, INK)


def owl(pen: Pen, coat: Coat) -> None:
    """Discs round the eyes and a beak."""
    pen.ellipse((0, 0.05), 0.98, 1.0, coat.dark, coat.outline)
    pen.ellipse((0, 0.56), 0.7, 0.48, coat.light)
    pen.pair((-0.42, -0.14), 0.47, 0.47, WHITE, coat.outline)
    pen.polygon([(-0.17, 0.1), (0.17, 0.1), (0, 0.46)], ORANGE, INK)


def monkey(pen: Pen, coat: Coat) -> None:
    """Ears at the sides and a bare face."""
    pen.pair((-1.02, 0.0), 0.36, 0.36, coat.base, coat.outline)
    pen.pair((-1.02, 0.0), 0.2, 0.2, ROSE)
    pen.ellipse((0, -0.04), 0.94, 0.94, coat.base, coat.outline)
    pen.pair((-0.36, -0.16), 0.4, 0.42, SKIN)
    pen.ellipse((0, 0.46), 0.66, 0.44, SKIN)
    pen.pair((-0.1, 0.26), 0.05, 0.06, INK)
    pen.stroke([(-0.12, -0.92), (0, -1.14), (0.14, -1.1)], 0.13, coat.base)


def elephant(pen: Pen, coat: Coat) -> None:
    """Wide ears; the trunk comes later."""
    pen.pair((-1.06, -0.12), 0.54, 0.82, coat.base, coat.outline, 8)
    pen.pair((-1.08, -0.1), 0.34, 0.58, ROSE, turn=8)
    pen.ellipse((0, -0.04), 0.84, 0.9, coat.base, coat.outline)


def trunk(pen: Pen, coat: Coat) -> None:
    """An elephant's trunk and tusks lie over its mouth."""
    pen.polygon_pair([(-0.46, 0.5), (-0.24, 0.5), (-0.5, 0.98)], WHITE, coat.outline)
    path = [(0.0, 0.1), (0.0, 0.62), *arc_points((0.26, 0.86), 0.26, 0.3, 180, 20)]
    pen.stroke(path, 0.48, coat.outline)
    pen.stroke(path, 0.38, coat.base)
    for y in (0.38, 0.6):
        pen.stroke([(-0.12, y), (0.12, y)], 0.06, coat.dark)


@dataclass(frozen=True)
class Face:
    """Where a species carries the features that all share.

    Attributes:
        draw: head and markings, and ears that are not of the next kind.
        eyes: the right eye's center; the left mirrors it.
        mouth: height of the mouth.
        mouth_width: half its width.
        overlay: what lies over the mouth.
        ears: upright ears, which lie behind the head and can be bent.
    """

    draw: Callable[[Pen, Coat], None]
    eyes: tuple[float, float]
    mouth: float
    mouth_width: float = 0.3
    overlay: Callable[[Pen, Coat], None] | None = None
    ears: Ears | None = None


FACES: dict[str, Face] = {
    "cat": Face(cat, (0.42, -0.16), 0.52, ears=CAT_EARS),
    "dog": Face(dog, (0.38, -0.18), 0.6),
    "lion": Face(lion, (0.36, -0.14), 0.54),
    "tiger": Face(tiger, (0.4, -0.12), 0.56),
    "fox": Face(fox, (0.42, -0.12), 0.54, 0.24, ears=FOX_EARS),
    "bear": Face(bear, (0.4, -0.2), 0.56),
    "panda": Face(panda, (0.4, -0.06), 0.6),
    "rabbit": Face(rabbit, (0.38, -0.14), 0.46, ears=RABBIT_EARS),
    "pig": Face(pig, (0.42, -0.24), 0.74),
    "owl": Face(owl, (0.42, -0.14), 0.68, ears=OWL_EARS),
    "monkey": Face(monkey, (0.34, -0.16), 0.52, 0.34),
    "elephant": Face(elephant, (0.42, -0.22), 0.5, 0.56, trunk),
}
