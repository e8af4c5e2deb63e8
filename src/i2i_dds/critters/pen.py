"""Drawing in the coordinates of a face: center (0, 0), radius 1, y downwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PIL import ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]


def shade(color: Color, factor: float) -> Color:
    """Darkens a color (factor < 1) or carries it towards white (factor in [1, 2])."""
    if factor <= 1:
        r, g, b = (round(c * factor) for c in color)
    else:
        r, g, b = (round(c + (255 - c) * (factor - 1)) for c in color)
    return r, g, b


def blend(first: Color, second: Color, weight: float) -> Color:
    """`first` with a share `weight` in [0, 1] of `second`."""
    r, g, b = (round((1 - weight) * p + weight * q) for p, q in zip(first, second, strict=True))
    return r, g, b


@dataclass(frozen=True)
class Frame:
    """Where a face is, and so the way from face coordinates to pixels.

    Attributes:
        x, y: center of the face in pixels.
        radius: pixels per unit of face coordinates.
        tilt: rotation in degrees, clockwise.
        mirrored: whether x is turned round first.
    """

    x: float
    y: float
    radius: float
    tilt: float
    mirrored: bool

    def pixel(self, point: Point) -> Point:
        """Face coordinates -> pixels (x, y), counted from the picture's upper left corner."""
        px = -point[0] if self.mirrored else point[0]
        angle = math.radians(self.tilt)
        cos, sin = math.cos(angle), math.sin(angle)
        return (
            self.x + self.radius * (px * cos - point[1] * sin),
            self.y + self.radius * (px * sin + point[1] * cos),
        )


@dataclass(frozen=True)
class Pen(Frame):
    """Draws shapes given in face coordinates on a picture in pixels.

    Attributes:
        draw: the picture, mode RGB; or L, on which every color is written as 255.
        bend: moves a shape's points about the face before they become pixels.
    """

    draw: ImageDraw.ImageDraw
    bend: Callable[[Point], Point] | None = None

    def shifted(self, offset: Point) -> Pen:
        """The same pen with its origin at `offset`, in face coordinates."""
        x, y = self.pixel(offset)
        return replace(self, x=x, y=y)

    def polygon(self, points: Sequence[Point], fill: Color, outline: Color | None = None) -> None:
        """A filled polygon, with an optional outline of constant width."""
        pixels = self._pixels(points)
        if outline is not None:
            self.draw.line(
                [*pixels, pixels[0], pixels[1]], self._ink(outline), self._width(0.1), "curve"
            )
        self.draw.polygon(pixels, self._ink(fill))

    def ellipse(
        self,
        center: Point,
        rx: float,
        ry: float,
        fill: Color,
        outline: Color | None = None,
        turn: float = 0.0,
    ) -> None:
        """A filled ellipse turned by `turn` degrees."""
        if outline is not None:
            self.ellipse(center, rx + 0.05, ry + 0.05, outline, turn=turn)
        self.polygon(arc_points(center, rx, ry, 0, 360, turn), fill)

    def pair(
        self,
        center: Point,
        rx: float,
        ry: float,
        fill: Color,
        outline: Color | None = None,
        turn: float = 0.0,
    ) -> None:
        """An ellipse and its mirror image."""
        self.ellipse(center, rx, ry, fill, outline, turn)
        self.ellipse((-center[0], center[1]), rx, ry, fill, outline, -turn)

    def polygon_pair(
        self, points: Sequence[Point], fill: Color, outline: Color | None = None
    ) -> None:
        """A polygon and its mirror image."""
        self.polygon(points, fill, outline)
        self.polygon([(-px, py) for px, py in points], fill, outline)

    def stroke(self, points: Sequence[Point], width: float, color: Color) -> None:
        """A line of constant width with round ends and joints."""
        pixels = self._pixels(points)
        ink, half = self._ink(color), self._width(width) / 2
        self.draw.line(pixels, ink, self._width(width), "curve")
        for px, py in (pixels[0], pixels[-1]):
            self.draw.ellipse((px - half, py - half, px + half, py + half), ink)

    def stroke_pair(self, points: Sequence[Point], width: float, color: Color) -> None:
        """A line and its mirror image."""
        self.stroke(points, width, color)
        self.stroke([(-px, py) for px, py in points], width, color)

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [self.pixel(p if self.bend is None else self.bend(p)) for p in points]

    def _width(self, width: float) -> int:
        return max(1, round(width * self.radius))

    def _ink(self, color: Color) -> Color | int:
        return 255 if self.draw.mode == "L" else color


def arc_points(
    center: Point, rx: float, ry: float, start: float, stop: float, turn: float = 0.0
) -> list[Point]:
    """Points of an elliptic arc from `start` to `stop` degrees (clockwise from +x)."""
    steps = max(8, round(abs(stop - start) / 8))
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = []
    for i in range(steps + 1):
        angle = math.radians(start + (stop - start) * i / steps)
        px, py = rx * math.cos(angle), ry * math.sin(angle)
        points.append((center[0] + px * cos - py * sin, center[1] + px * sin + py * cos))
    return points
