"""The colours that faces are drawn in."""

from __future__ import annotations

from dataclasses import dataclass

from i2i_dds.critters.pen import Colour, shade

FUR_COLOURS: dict[str, Colour] = {
    "ginger": (230, 120, 45),
    "golden": (245, 200, 90),
    "brown": (150, 98, 62),
    "grey": (140, 146, 158),
    "white": (243, 240, 234),
    "pink": (244, 160, 176),
}
INK: Colour = (45, 36, 44)
WHITE: Colour = (252, 250, 246)
ROSE: Colour = (236, 132, 142)
ORANGE: Colour = (244, 158, 32)
SKIN: Colour = (244, 206, 172)


@dataclass(frozen=True)
class Coat:
    """The colours that follow from a fur colour."""

    base: Colour
    dark: Colour
    light: Colour
    outline: Colour

    @classmethod
    def of(cls, fur: str) -> Coat:
        """The coat of a named fur."""
        base = FUR_COLOURS[fur]
        return cls(base, shade(base, 0.66), shade(base, 1.62), shade(base, 0.45))
