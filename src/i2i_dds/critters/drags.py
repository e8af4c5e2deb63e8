"""Drags whose answer is known: a face, what it wears, or its ears, elsewhere in the same scene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from i2i_dds.critters.caption import caption
from i2i_dds.critters.pen import Point
from i2i_dds.critters.render import Part, coverage, frame
from i2i_dds.critters.scene import ACCESSORIES, Scene, Split, scenes
from i2i_dds.critters.species import FACES
from i2i_dds.errors import UserError

Kind = Literal["head", "accessory", "ear"]
Pair = tuple[Point, Point]

KINDS: tuple[Kind, ...] = get_args(Kind)
HANDLES = ("center", "left eye", "right eye", "mouth")
SHORTEST, LONGEST = 6 / 64, 14 / 64
"""Length of a drag as a fraction of the picture's side."""

_PARTS: dict[Kind, Part] = {"head": "animal", "accessory": "accessory", "ear": "ears"}
_FIXED: dict[Kind, dict[str, tuple[str, ...]]] = {
    "head": {},
    "accessory": {"accessory": ACCESSORIES[1:]},
    "ear": {  # a hat would hide them
        "species": tuple(name for name, face in FACES.items() if face.ears is not None),
        "accessory": tuple(name for name in ACCESSORIES if name != "hat"),
    },
}
_WAYS = {"hat": (1,), "glasses": (-1, 1), "bow tie": (-1,), "scarf": (-1,)}
"""Where an accessory can go and stay on the face: 1 down, -1 up."""
_SPREAD = 40.0  # degrees to either side of that
_TRIES = 12  # displacements of one scene before another is drawn
_NEXT_SCENE = 1_000_003  # between the numbers of an item's scenes; no data set is so large
_WORKING_SIDE = 64  # pixels, at which it is decided whether a drag fits: the same at every size


@dataclass(frozen=True)
class CritterDrag:
    """One drag and its exact result.

    Attributes:
        key: names it for good, as "test-0-ear-00002".
        kind: what moves: the "head" (the whole animal), its "accessory" or both "ear"s.
        scene: before.
        truth: after.
        size: side of the pictures in pixels, to which the rest refers.
        points: pairs of handle and target in pixels (x, y).
        mask: mode L, 255 where the drag may show.
        templates: for each pair, how much of each pixel of the true picture the moved thing
            (of an ear: round its tip) covers, 255 for all of it.
        prompt: a caption of the scene, which fits before and after.
    """

    key: str
    kind: Kind
    scene: Scene
    truth: Scene
    size: int
    points: tuple[Pair, ...]
    mask: Image.Image
    templates: tuple[Image.Image, ...]
    prompt: str


def critter_drags(
    split: Split,
    n: int,
    seed: int = 0,
    kinds: Sequence[Kind] = KINDS,
    size: int = 64,
    margin: int = 2,
    handles: Sequence[str] = ("center",),
) -> list[CritterDrag]:
    """Draws drags, the kinds in turn; number `i` follows from (split, seed, i) and its kind.

    Args:
        split: the splits use disjoint random streams; scenes are those of `scenes`.
        n: how many.
        seed: a world.
        kinds: which kinds, in the order in which they alternate.
        size: side of the pictures in pixels.
        margin: by how many pixels the mask is wider than what changes.
        handles: places of the face that a "head" drag holds, of `HANDLES`.

    Raises:
        UserError: an unknown split, kind or handle, or none of them.
    """
    _check("kinds", kinds, KINDS)
    _check("handles", handles, HANDLES)
    drags = []
    for i in range(n):
        kind = kinds[i % len(kinds)]
        rng = np.random.default_rng([sum(map(ord, split)), seed, i, KINDS.index(kind)])
        before, after = _draw(kind, split, seed, i, rng)
        points = drag_points(kind, before, after, size, handles)
        drags.append(
            CritterDrag(
                key=f"{split}-{seed}-{kind}-{i:05d}",
                kind=kind,
                scene=before,
                truth=after,
                size=size,
                points=points,
                mask=drag_mask(kind, before, after, size, margin),
                templates=_templates(kind, after, points, size),
                prompt=caption(before, rng),
            )
        )
    return drags


def drag_points(
    kind: Kind, before: Scene, after: Scene, size: int, handles: Sequence[str] = ("center",)
) -> tuple[Pair, ...]:
    """Handles and targets in pixels (x, y); for "ear" those of the left and of the right tip."""
    face, source, target = FACES[before.species], frame(before, size), frame(after, size)
    if kind == "head":
        eye = face.eyes
        at: tuple[Point, ...] = ((0, 0), (-eye[0], eye[1]), eye, (0, face.mouth))
        places: dict[str, Point] = dict(zip(HANDLES, at, strict=True))
        return tuple((source.pixel(places[h]), target.pixel(places[h])) for h in handles)
    if kind == "accessory":
        x, y = _accessory_place(before)
        ends = ((s.wear_x + x, s.wear_y + y) for s in (before, after))
        handle, goal = (source.pixel(end) for end in ends)
        return ((handle, goal),)
    if face.ears is None:
        raise UserError(f"species: the ears of {before.species!r} cannot be dragged")
    bend, (x, y) = face.ears.bend, face.ears.tip
    return tuple(
        (
            source.pixel(bend(tip, before.ear_length, before.ear_lean)),
            target.pixel(bend(tip, after.ear_length, after.ear_lean)),
        )
        for tip in ((x, y), (-x, y))
    )


def drag_mask(kind: Kind, before: Scene, after: Scene, size: int, margin: int = 0) -> Image.Image:
    """255 where the moving thing touches a pixel before or after, or within `margin` of that."""
    covered = [coverage(scene, size, _PARTS[kind]) for scene in (before, after)]
    union = ImageChops.lighter(*covered).point([0] + [255] * 255)
    return union.filter(ImageFilter.MaxFilter(2 * margin + 1)) if margin else union


def _draw(
    kind: Kind, split: Split, seed: int, number: int, rng: np.random.Generator
) -> tuple[Scene, Scene]:
    """The first scene, and the first displacement of it, that keeps the thing in the picture."""
    while True:
        before = scenes(split, 1, seed, number, **_FIXED[kind])[0]
        if kind == "accessory" and before.accessory == "scarf":  # it would end below the picture
            before = before.replace(y=0.47, size=min(before.size, 0.28))
        if _inside(coverage(before, _WORKING_SIDE, _PARTS[kind])):
            for _ in range(_TRIES):
                after = _moved(kind, before, rng)
                if _fits(kind, before, after):
                    return before, after
        number += _NEXT_SCENE


def _moved(kind: Kind, scene: Scene, rng: np.random.Generator) -> Scene:
    length = rng.uniform(SHORTEST, LONGEST)
    if kind == "head":
        angle = rng.uniform(0, 2 * math.pi)
        x, y = scene.x + length * math.cos(angle), scene.y + length * math.sin(angle)
        return scene.replace(x=round(x, 4), y=round(y, 4))
    length /= scene.size  # radii of the face
    if kind == "accessory":
        angle = math.radians(rng.uniform(-_SPREAD, _SPREAD))
        way = rng.choice(_WAYS[scene.accessory])
        x, y = length * math.sin(angle), length * math.cos(angle) * way
        return scene.replace(wear_x=round(x, 4), wear_y=round(float(y), 4))
    ears = FACES[scene.species].ears
    assert ears is not None, scene.species
    reach, sign = math.dist(ears.base, ears.tip), 1 if rng.random() < 0.5 else -1
    if rng.random() < 0.5:
        return scene.replace(ear_length=round(1 + sign * length / reach, 4))
    # The tip moves along a chord.
    lean = 2 * math.degrees(math.asin(min(1.0, length / (2 * reach))))
    return scene.replace(ear_lean=round(sign * lean, 2))


def _fits(kind: Kind, before: Scene, after: Scene) -> bool:
    if kind == "ear" and not (0.45 <= after.ear_length <= 1.9 and abs(after.ear_lean) <= 50):
        return False
    pairs = drag_points(kind, before, after, 1)
    if not all(SHORTEST * 0.99 <= math.dist(start, end) <= LONGEST * 1.01 for start, end in pairs):
        return False
    seen = coverage(after, _WORKING_SIDE, _PARTS[kind])
    tips = [(int(_WORKING_SIDE * x), int(_WORKING_SIDE * y)) for _, (x, y) in pairs]
    return _inside(seen) and (kind != "ear" or all(seen.getpixel(tip) for tip in tips))


def _inside(covered: Image.Image) -> bool:
    """Whether something is there and none of it at the picture's edge."""
    box = covered.getbbox()
    if box is None:
        return False
    return min(box[:2]) > 0 and box[2] < covered.width and box[3] < covered.height


def _templates(
    kind: Kind, after: Scene, points: Sequence[Pair], size: int
) -> tuple[Image.Image, ...]:
    seen = coverage(after, size, _PARTS[kind])
    if kind != "ear":
        return (seen,) * len(points)
    radius = 0.35 * after.size * size
    near = []
    for _, (x, y) in points:
        disc = Image.new("L", seen.size, 0)
        ImageDraw.Draw(disc).ellipse((x - radius, y - radius, x + radius, y + radius), 255)
        near.append(ImageChops.darker(seen, disc))
    return tuple(near)


def _accessory_place(scene: Scene) -> Point:
    """The middle of an accessory at its own place, in face coordinates."""
    places = {"hat": (0.0, -1.1), "bow tie": (0.0, 1.09), "scarf": (0.0, 1.17)}
    return places.get(scene.accessory, (0.0, FACES[scene.species].eyes[1]))


def _check(name: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    if not values or any(value not in allowed for value in values):
        raise UserError(f"{name}: {list(values)} is not allowed; give some of {list(allowed)}")
