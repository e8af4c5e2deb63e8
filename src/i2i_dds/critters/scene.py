"""What a Critters picture shows: a frozen description from which the picture follows exactly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from i2i_dds.errors import UserError

SPECIES = (
    "cat", "dog", "lion", "tiger", "fox", "bear",
    "panda", "rabbit", "pig", "owl", "monkey", "elephant",
)  # fmt: skip
FURS = ("ginger", "golden", "brown", "grey", "white", "pink")
EYES = ("green", "blue", "amber", "dark")
EXPRESSIONS = ("smiling", "frowning", "surprised", "sleepy")
ACCESSORIES = ("none", "glasses", "hat", "bow tie", "scarf")
PLAIN = ("plain blue", "plain green", "plain yellow", "plain purple")
GRADED = ("pink gradient", "mint gradient")
PATTERNED = ("dots", "stripes", "checks")
SCENIC = ("meadow", "beach", "snow", "night", "sunset")

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "species": SPECIES,
    "fur": FURS,
    "eyes": EYES,
    "expression": EXPRESSIONS,
    "accessory": ACCESSORIES,
    "backdrop": PLAIN + GRADED + PATTERNED + SCENIC,
}
"""The categorical attributes of a scene and every value each may take."""

Split = Literal["train", "val", "test"]
_SPLIT_STREAMS = {"train": 1, "val": 2, "test": 3}
_ACCESSORY_WEIGHTS = (0.4, 0.15, 0.15, 0.15, 0.15)


@dataclass(frozen=True)
class Scene:
    """One picture of the world, whole.

    Attributes:
        species, fur, eyes, expression, accessory, backdrop: see `ATTRIBUTES`.
        x, y: center of the face as a fraction of the picture's side.
        size: radius of the face as a fraction of the picture's side.
        tilt: rotation of the face in degrees, clockwise.
        mirrored: whether the face is drawn left for right.
        variant: lays the backdrop out (hills, stars, phase of a pattern), in [0, 1).
        wear_x, wear_y: how far the accessory is from its place, in radii of the face, along
            its own axes: x to the right of an upright face that is not mirrored, y to its chin.
        ear_length: upright ears are so many times as long; other ears stay as they are.
        ear_lean: upright ears lean outwards by so many degrees.
    """

    species: str
    fur: str
    eyes: str
    expression: str
    accessory: str
    backdrop: str
    x: float = 0.5
    y: float = 0.56
    size: float = 0.3
    tilt: float = 0.0
    mirrored: bool = False
    variant: float = 0.0
    wear_x: float = 0.0
    wear_y: float = 0.0
    ear_length: float = 1.0
    ear_lean: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in ATTRIBUTES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise UserError(f"{name}: {value!r} is unknown; allowed are {', '.join(allowed)}")

    def replace(self, **attributes: Any) -> Scene:
        """The exact counterfactual: the same scene with some attributes changed."""
        known = {field.name for field in dataclasses.fields(self)}
        for name in attributes:
            if name not in known:
                raise UserError(f"{name}: not an attribute of a scene; those are {sorted(known)}")
        return dataclasses.replace(self, **attributes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scene:
        """Inverse of `to_dict`; what an older dict does not name has its default."""
        return cls(**values)


def scenes(
    split: Split,
    n: int,
    seed: int = 0,
    start: int = 0,
    **fixed: str | Sequence[str],
) -> list[Scene]:
    """Draws scenes; number `i` of a split depends on `(split, seed, i)` and on nothing else.

    Args:
        split: the three splits use disjoint random streams.
        n: how many scenes, >= 0.
        seed: a world; the shipped weights come from seed 0.
        start: number of the first scene.
        **fixed: attributes held at a value, or drawn from a tuple of values.

    Raises:
        UserError: for an unknown split, attribute or value.
    """
    if split not in _SPLIT_STREAMS:
        raise UserError(f"split: {split!r} is unknown; allowed are {', '.join(_SPLIT_STREAMS)}")
    choices = {name: _allowed(name, value) for name, value in fixed.items()}
    return [_draw(split, seed, start + i, choices) for i in range(n)]


def _allowed(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    if name not in ATTRIBUTES:
        raise UserError(f"{name}: not a categorical attribute; those are {sorted(ATTRIBUTES)}")
    values = (value,) if isinstance(value, str) else tuple(value)
    for item in values:
        if item not in ATTRIBUTES[name]:
            raise UserError(
                f"{name}: {item!r} is unknown; allowed are {', '.join(ATTRIBUTES[name])}"
            )
    return values


def _draw(split: str, seed: int, number: int, fixed: Mapping[str, tuple[str, ...]]) -> Scene:
    rng = np.random.default_rng([_SPLIT_STREAMS[split], seed, number])
    values: dict[str, Any] = {}
    for name, allowed in ATTRIBUTES.items():
        if name in fixed:
            values[name] = fixed[name][int(rng.random() * len(fixed[name]))]
        elif name == "accessory":
            values[name] = str(rng.choice(allowed, p=_ACCESSORY_WEIGHTS))
        else:
            values[name] = allowed[int(rng.random() * len(allowed))]
    return Scene(
        **values,
        x=round(float(rng.uniform(0.42, 0.58)), 4),
        y=round(float(rng.uniform(0.53, 0.60)), 4),
        size=round(float(rng.uniform(0.27, 0.33)), 4),
        tilt=round(float(rng.uniform(-14.0, 14.0)), 2),
        mirrored=bool(rng.random() < 0.5),
        variant=round(float(rng.random()), 4),
    )
