"""What all species share: eyes, brows, mouth and accessories."""

from __future__ import annotations

from i2i_dds.critters.coat import INK, WHITE
from i2i_dds.critters.pen import Color, Pen, arc_points
from i2i_dds.critters.species import Face

EYE_COLORS: dict[str, Color] = {
    "green": (60, 170, 70),
    "blue": (70, 140, 240),
    "amber": (240, 170, 30),
    "dark": (92, 58, 40),
}
_MOUTH: Color = (150, 30, 50)
_FRAME: Color = (30, 80, 200)
_RED: Color = (214, 40, 60)
_GREEN: Color = (30, 140, 90)
_YELLOW: Color = (250, 212, 60)
_PURPLE: Color = (104, 52, 150)


def draw_eyes(pen: Pen, face: Face, color: str, expression: str) -> None:
    """Two eyes and, for some expressions, brows."""
    ex, ey = face.eyes
    for side in (-1, 1):
        center = (side * ex, ey)
        if expression == "sleepy":
            pen.ellipse(center, 0.25, 0.21, WHITE)
            pen.stroke(arc_points((center[0], ey - 0.06), 0.17, 0.15, 20, 160), 0.11, INK)
            continue
        wide = expression == "surprised"
        if wide:
            pen.ellipse(center, 0.3, 0.33, WHITE, INK)
        scale = 0.8 if wide else 1.0
        pen.ellipse(center, 0.23 * scale, 0.25 * scale, EYE_COLORS[color], INK)
        pen.ellipse(center, 0.11 * scale, 0.14 * scale, INK)
        pen.ellipse((center[0] - 0.07, ey - 0.09), 0.06, 0.06, WHITE)
        if expression == "frowning":
            brow = [(side * (ex - 0.24), ey - 0.16), (side * (ex + 0.26), ey - 0.42)]
            pen.stroke(brow, 0.15, INK)


def draw_mouth(pen: Pen, face: Face, expression: str) -> None:
    """The mouth, whose shape alone tells the expression too."""
    y, w = face.mouth, face.mouth_width
    if expression == "smiling":
        pen.polygon(arc_points((0, y), w, 0.3, 0, 180), _MOUTH, INK)
    elif expression == "frowning":
        pen.stroke(arc_points((0, y + 0.22), w, 0.2, 200, 340), 0.12, INK)
    elif expression == "surprised":
        pen.ellipse((0, y + 0.13), w * 0.62, 0.2, _MOUTH, INK)
    else:
        pen.stroke([(-w * 0.55, y + 0.12), (w * 0.55, y + 0.12)], 0.11, INK)


def draw_accessory(pen: Pen, face: Face, accessory: str) -> None:
    """Glasses, a hat, a bow tie or a scarf; nothing for `none`."""
    if accessory == "glasses":
        _glasses(pen, face)
    elif accessory == "hat":
        _hat(pen)
    elif accessory == "bow tie":
        _bow_tie(pen)
    elif accessory == "scarf":
        _scarf(pen)


def _glasses(pen: Pen, face: Face) -> None:
    ex, ey = face.eyes
    for side in (-1, 1):
        pen.stroke(arc_points((side * ex, ey), 0.35, 0.35, 0, 360), 0.12, _FRAME)
        pen.stroke([(side * (ex + 0.35), ey), (side * (ex + 0.52), ey - 0.1)], 0.12, _FRAME)
    gap = max(ex - 0.35, 0.02)
    pen.stroke([(-gap, ey), (gap, ey)], 0.12, _FRAME)


def _hat(pen: Pen) -> None:
    pen.polygon([(-0.5, -0.76), (-0.44, -1.52), (0.44, -1.52), (0.5, -0.76)], _PURPLE, INK)
    pen.polygon([(-0.5, -0.8), (-0.48, -1.02), (0.48, -1.02), (0.5, -0.8)], _YELLOW)
    pen.stroke([(-0.74, -0.72), (0.74, -0.72)], 0.17, INK)
    pen.stroke([(-0.72, -0.72), (0.72, -0.72)], 0.1, _PURPLE)


def _bow_tie(pen: Pen) -> None:
    pen.polygon_pair([(0, 1.08), (-0.56, 0.82), (-0.56, 1.36)], _RED, INK)
    pen.ellipse((0, 1.09), 0.15, 0.17, _YELLOW, INK)


def _scarf(pen: Pen) -> None:
    band = arc_points((0, 0.55), 0.98, 0.62, 18, 162)
    tail = [(0.36, 1.1), (0.46, 1.66)]
    for points, width in ((tail, 0.36), (band, 0.36)):
        pen.stroke(points, width, INK)
        pen.stroke(points, width - 0.1, _GREEN)
    for x, y in ((-0.62, 0.98), (0.0, 1.17), (0.4, 1.4)):
        pen.ellipse((x, y), 0.1, 0.1, _YELLOW)
