"""Backdrops: plain, graded, patterned, and small landscapes."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from i2i_dds.critters.pen import Color

_PLAIN: dict[str, Color] = {
    "plain blue": (96, 162, 232),
    "plain green": (120, 190, 110),
    "plain yellow": (250, 222, 110),
    "plain purple": (164, 126, 212),
}
_GRADED: dict[str, tuple[Color, Color]] = {
    "pink gradient": ((255, 176, 204), (112, 146, 240)),
    "mint gradient": ((190, 246, 222), (24, 132, 140)),
}
_SKIES: dict[str, tuple[Color, Color]] = {
    "meadow": ((110, 190, 250), (214, 240, 255)),
    "beach": ((80, 176, 246), (200, 236, 250)),
    "snow": ((168, 194, 222), (226, 236, 246)),
    "night": ((14, 18, 62), (52, 58, 128)),
    "sunset": ((116, 58, 130), (255, 168, 74)),
}


def draw_backdrop(name: str, variant: float, side: int) -> Image.Image:
    """The whole picture's ground.

    Args:
        name: a value of `ATTRIBUTES["backdrop"]`.
        variant: lays it out, in [0, 1).
        side: pixels.
    """
    if name in _PLAIN:
        return Image.new("RGB", (side, side), _PLAIN[name])
    if name in _GRADED:
        return _gradient(*_GRADED[name], side)
    if name in _SKIES:
        image = _gradient(*_SKIES[name], side)
        _LANDSCAPES[name](ImageDraw.Draw(image), variant, side)
        return image
    return _pattern(name, variant, side)


def _gradient(top: Color, bottom: Color, side: int) -> Image.Image:
    weight = np.linspace(0, 1, side)[:, None]
    column = (1 - weight) * np.array(top) + weight * np.array(bottom)
    rows = np.repeat(column[:, None, :], side, axis=1)
    return Image.fromarray(np.rint(rows).astype(np.uint8), "RGB")


def _pattern(name: str, variant: float, side: int) -> Image.Image:
    cell = side / 4
    shift = variant * cell
    if name == "dots":
        image = Image.new("RGB", (side, side), (70, 178, 176))
        draw = ImageDraw.Draw(image)
        for row in range(-1, 6):
            for column in range(-1, 6):
                cx = (column + 0.5 * (row % 2)) * cell + shift
                cy, r = row * cell + shift, cell * 0.27
                draw.ellipse((cx - r, cy - r, cx + r, cy + r), (250, 250, 240))
        return image
    if name == "stripes":
        image = Image.new("RGB", (side, side), (250, 246, 240))
        draw = ImageDraw.Draw(image)
        for column in range(-1, 5):
            x = column * cell + shift
            draw.rectangle((x, 0, x + cell / 2, side), (240, 128, 140))
        return image
    image = Image.new("RGB", (side, side), (236, 236, 244))
    draw = ImageDraw.Draw(image)
    for row in range(-1, 5):
        for column in range(-1, 5):
            if (row + column) % 2:
                x, y = column * cell + shift, row * cell + shift
                draw.rectangle((x, y, x + cell, y + cell), (132, 140, 176))
    return image


def _hills(
    draw: ImageDraw.ImageDraw, variant: float, side: int, colors: tuple[Color, Color]
) -> None:
    for level, (color, phase) in enumerate(zip(colors, (0.0, 2.1), strict=True)):
        base = side * (0.62 + 0.17 * level)
        points = [(0.0, float(side))]
        for i in range(33):
            wave = math.sin(2 * math.pi * (i / 32 + variant) + phase)
            points.append((side * i / 32, base + side * 0.07 * wave))
        draw.polygon([*points, (float(side), float(side))], color)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, side: int, color: Color) -> None:
    draw.ellipse(((x - r) * side, (y - r) * side, (x + r) * side, (y + r) * side), color)


def _sun_x(variant: float) -> float:
    return 0.14 if variant < 0.5 else 0.86


def _meadow(draw: ImageDraw.ImageDraw, variant: float, side: int) -> None:
    _disc(draw, _sun_x(variant), 0.14, 0.09, side, (255, 226, 90))
    _hills(draw, variant, side, ((122, 200, 96), (84, 168, 74)))
    for i in range(5):
        x = (0.1 + 0.2 * i + variant) % 1
        _disc(draw, x, 0.9 + 0.05 * (i % 2), 0.028, side, (255, 244, 150))


def _night(draw: ImageDraw.ImageDraw, variant: float, side: int) -> None:
    moon = _sun_x(variant)
    _disc(draw, moon, 0.14, 0.09, side, (250, 244, 206))
    for i in range(6):
        x, y = (0.13 + 0.17 * i + variant) % 1, 0.08 + 0.12 * ((i * 2) % 5)
        if abs(x - moon) > 0.14:
            _disc(draw, x, y, 0.018, side, (250, 246, 220))
    _hills(draw, variant, side, ((34, 62, 82), (22, 44, 60)))


def _beach(draw: ImageDraw.ImageDraw, variant: float, side: int) -> None:
    _disc(draw, _sun_x(variant), 0.14, 0.09, side, (255, 232, 110))
    draw.rectangle((0, side * 0.5, side, side), (28, 128, 190))
    points = [(side * i / 32, side * (0.74 + 0.03 * math.sin(4 * math.pi * (i / 32 + variant))))
              for i in range(33)]  # fmt: skip
    draw.polygon([(0, side), *points, (side, side)], (244, 216, 156))


def _snow(draw: ImageDraw.ImageDraw, variant: float, side: int) -> None:
    for i in range(3):
        x, base = (0.12 + 0.36 * i + variant) % 1, 0.68
        for level in range(2):
            top, half = base - 0.3 + 0.13 * level, 0.07 + 0.03 * level
            tree = [(x, top), (x - half, top + 0.19), (x + half, top + 0.19)]
            draw.polygon([(px * side, py * side) for px, py in tree], (44, 104, 92))
    _hills(draw, variant, side, ((238, 244, 250), (250, 252, 255)))
    for i in range(7):
        x, y = (0.09 + 0.15 * i + variant) % 1, 0.06 + 0.1 * ((i * 3) % 5)
        _disc(draw, x, y, 0.022, side, (255, 255, 255))


def _sunset(draw: ImageDraw.ImageDraw, variant: float, side: int) -> None:
    _disc(draw, _sun_x(variant), 0.58, 0.16, side, (255, 238, 130))
    draw.rectangle((0, side * 0.64, side, side), (104, 48, 96))
    for i in range(3):
        y, x = 0.72 + 0.09 * i, _sun_x(variant)
        half = 0.14 - 0.03 * i
        draw.rectangle(
            ((x - half) * side, y * side, (x + half) * side, (y + 0.035) * side), (240, 150, 90)
        )


_LANDSCAPES = {
    "meadow": _meadow,
    "beach": _beach,
    "snow": _snow,
    "night": _night,
    "sunset": _sunset,
}
