"""The colors that faces are drawn in."""

from __future__ import annotations

from dataclasses import dataclass

from i2i_dds.critters.pen import Color, shade

FUR_COLORS: dict[str, Color] = {
    "ginger": (230, 120, 45),
    "golden": (245, 200, 90),
    "brown": (150, 98, 62),
    "grey": (140, 146, 158),
    "white": (243, 240, 234),
    "pink": (244, 160, 176),
}
INK: Color = (45, 36, 44)
WHITE: Color = (252, 250, 246)
ROSE: Color = (236, 132, 142)
ORANGE: Color = (244, 158, 32)
SKIN: Color = (244, 206, 172)


@dataclass(frozen=True)
class Coat:
    """The colors that follow from a fur color."""

    base: Color
    dark: Color
    light: Color
    outline: Color

    @classmethod
    def of(cls, fur: str) -> Coat:
        """The coat of a named fur."""
        base = FUR_COLORS[fur]
        return cls(base, shade(base, 0.66), shade(base, 1.62), shade(base, 0.45))
