"""Upright ears: how four species draw them, and how they are made longer or leaned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from i2i_dds.critters.coat import INK, ROSE, Coat
from i2i_dds.critters.pen import Pen, Point


@dataclass(frozen=True)
class Ears:
    """A pair of ears that stand behind the head; the points are the left ear's, in face units.

    Attributes:
        shape: draws both ears as they are by nature.
        base: the middle of where the ear grows, inside the head.
        tip: just inside the far end.
    """

    shape: Callable[[Pen, Coat], None]
    base: Point
    tip: Point

    def draw(self, pen: Pen, coat: Coat, length: float = 1.0, lean: float = 0.0) -> None:
        """Draws them `length` times as long, leaning outwards by `lean` degrees."""
        if (length, lean) != (1.0, 0.0):  # by nature, no coordinate may move by a rounding
            pen = replace(pen, bend=lambda point: self.bend(point, length, lean))
        self.shape(pen, coat)

    def bend(self, point: Point, length: float, lean: float) -> Point:
        """Where a point of an ear goes: stretched along the ear's axis, then turned at its base.

        Points with x > 0 are the right ear's, which mirrors the left one.
        """
        side = -1.0 if point[0] > 0 else 1.0
        ax, ay = self.tip[0] - self.base[0], self.tip[1] - self.base[1]
        norm = math.hypot(ax, ay)
        ax, ay = ax / norm, ay / norm
        u, v = side * point[0] - self.base[0], point[1] - self.base[1]
        stretch = (length - 1) * (u * ax + v * ay)
        u, v = u + stretch * ax, v + stretch * ay
        # The left ear leans outwards against the clock.
        cos, sin = math.cos(math.radians(-lean)), math.sin(math.radians(-lean))
        return side * (self.base[0] + u * cos - v * sin), self.base[1] + u * sin + v * cos


def _cat(pen: Pen, coat: Coat) -> None:
    pen.polygon_pair([(-0.92, -0.2), (-0.88, -1.22), (-0.14, -0.72)], coat.base, coat.outline)
    pen.polygon_pair([(-0.78, -0.5), (-0.77, -0.98), (-0.4, -0.72)], ROSE)


def _fox(pen: Pen, coat: Coat) -> None:
    pen.polygon_pair([(-0.98, -0.1), (-0.92, -1.3), (-0.2, -0.62)], coat.base, coat.outline)
    pen.polygon_pair([(-0.93, -0.86), (-0.92, -1.3), (-0.58, -0.98)], INK)


def _rabbit(pen: Pen, coat: Coat) -> None:
    pen.pair((-0.42, -1.1), 0.25, 0.68, coat.base, coat.outline, -8)
    pen.pair((-0.42, -1.06), 0.12, 0.5, ROSE, turn=-8)


def _owl(pen: Pen, coat: Coat) -> None:
    pen.polygon_pair([(-0.9, -0.3), (-1.0, -1.2), (-0.1, -0.8)], coat.dark, coat.outline)


CAT_EARS = Ears(_cat, (-0.54, -0.46), (-0.85, -1.14))
FOX_EARS = Ears(_fox, (-0.6, -0.38), (-0.9, -1.22))
RABBIT_EARS = Ears(_rabbit, (-0.34, -0.56), (-0.5, -1.68))
OWL_EARS = Ears(_owl, (-0.5, -0.52), (-0.95, -1.13))
