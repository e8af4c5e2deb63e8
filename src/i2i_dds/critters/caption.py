"""Describes a scene in varied words; the species' plain noun is always among them."""

from __future__ import annotations

import numpy as np

from i2i_dds.critters.scene import Scene

_ADJECTIVES = {
    "smiling": ("smiling", "happy"),
    "frowning": ("frowning", "angry"),
    "surprised": ("surprised", "astonished"),
    "sleepy": ("sleepy", "sleeping"),
}
_LOOKS = {
    "smiling": ("with a smile",),
    "frowning": ("with a frown",),
    "surprised": ("looking surprised",),
    "sleepy": ("looking sleepy",),
}
_WEARS = {
    "glasses": ("wearing glasses", "with glasses"),
    "hat": ("wearing a hat", "with a hat"),
    "bow tie": ("wearing a bow tie", "with a bow tie"),
    "scarf": ("wearing a scarf", "with a scarf"),
}
_PLACES = {
    "plain blue": ("on a plain blue background",),
    "plain green": ("on a plain green background",),
    "plain yellow": ("on a plain yellow background",),
    "plain purple": ("on a plain purple background",),
    "pink gradient": ("on a pink gradient background",),
    "mint gradient": ("on a mint gradient background",),
    "dots": ("on a dotted background", "on a background of dots"),
    "stripes": ("on a striped background", "on a background of stripes"),
    "checks": ("on a checked background", "on a background of checks"),
    "meadow": ("in a meadow", "in a green meadow"),
    "beach": ("on the beach", "at the beach"),
    "snow": ("in the snow", "in the falling snow"),
    "night": ("at night", "under the night sky"),
    "sunset": ("at sunset", "in the light of the sunset"),
}
_OPENINGS = ("", "", "", "a picture of ", "a drawing of ", "a portrait of ")


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One caption of many, such as "a smiling ginger cat wearing glasses, in a meadow".

    Fur, expression, accessory, backdrop and eye color are each left out at times, so that a
    teacher trained on captions learns what a prompt that does not name them means.

    Args:
        scene: what is described.
        rng: chooses the words; its state advances.
    """

    def pick(words: tuple[str, ...]) -> str:
        return words[int(rng.random() * len(words))]

    adjectives, clauses = [], []
    if rng.random() < 0.85:
        if rng.random() < 0.65:
            adjectives.append(pick(_ADJECTIVES[scene.expression]))
        else:
            clauses.append(pick(_LOOKS[scene.expression]))
    if rng.random() < 0.85:
        adjectives.append(scene.fur)
    if scene.accessory != "none" and rng.random() < 0.95:
        clauses.append(pick(_WEARS[scene.accessory]))
    if rng.random() < 0.25 and scene.expression != "sleepy":
        clauses.append(f"with {scene.eyes} eyes")
    if rng.random() < 0.92:
        clauses.append(pick(_PLACES[scene.backdrop]))
    order = rng.permutation(len(clauses))
    noun = " ".join([*adjectives, scene.species])
    article = "an" if noun[0] in "aeiou" else "a"
    joint = ", " if rng.random() < 0.5 else " "
    return pick(_OPENINGS) + joint.join([f"{article} {noun}", *(clauses[i] for i in order)])


def names_backdrop(words: str, scene: Scene) -> bool:
    """Whether a caption by `caption` says where the animal is."""
    return any(place in words for place in _PLACES[scene.backdrop])
