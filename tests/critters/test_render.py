"""Pictures: one attribute changed is one place changed."""

import numpy as np
import pytest

from i2i_dds.critters import ATTRIBUTES, SPECIES, object_mask, render, scenes
from i2i_dds.critters.render import coverage

SCENES = [scenes("val", 1, start=i, species=s)[0] for i, s in enumerate(SPECIES)]


def _changed(a, b, size=64):
    return (np.asarray(render(a, size)) != np.asarray(render(b, size))).any(-1)


def _inside(*drawn, size=64):
    return np.any([np.asarray(object_mask(s, size)) > 0 for s in drawn], axis=0)


def _upright(scene):
    return scene.replace(tilt=0.0, mirrored=False)


def test_a_scene_has_one_picture_of_any_size():
    for size in (32, 64, 160):
        image = render(SCENES[0], size)
        assert image.size == (size, size)
        assert image.mode == "RGB"
        assert image.tobytes() == render(SCENES[0], size).tobytes()


@pytest.mark.parametrize("scene", SCENES, ids=SPECIES)
def test_backdrop_changes_only_what_the_animal_does_not_cover(scene):
    for backdrop in ATTRIBUTES["backdrop"]:
        changed = _changed(scene, scene.replace(backdrop=backdrop))
        covered = np.asarray(coverage(scene)) == 255
        assert not (changed & covered).any()


@pytest.mark.parametrize("scene", SCENES, ids=SPECIES)
def test_other_attributes_change_only_the_animal(scene):
    for name in ("species", "fur", "eyes", "expression", "accessory"):
        for value in ATTRIBUTES[name]:
            other = scene.replace(**{name: value})
            changed = _changed(scene, other)
            assert not (changed & ~_inside(scene, other)).any()
            if value != getattr(scene, name) and not (
                name == "eyes" and scene.expression == "sleepy"
            ):
                assert changed.any()


@pytest.mark.parametrize("species", SPECIES)
def test_eyes_and_expression_keep_to_the_middle_of_the_face(species):
    scene = _upright(SCENES[SPECIES.index(species)]).replace(accessory="none")
    rows, columns = np.mgrid[0:64, 0:64] / 64
    u, v = (columns - scene.x) / scene.size, (rows - scene.y) / scene.size
    for value in ATTRIBUTES["expression"]:
        changed = _changed(scene, scene.replace(expression=value))
        # The highest brow ends 0.66 above the center, half a stroke and a pixel come on top.
        assert not (changed & ((abs(u) > 0.85) | (v < -0.82) | (v > 1.2))).any()
    for value in ATTRIBUTES["eyes"]:
        changed = _changed(scene, scene.replace(eyes=value))
        assert not (changed & ((abs(u) > 0.8) | (v < -0.6) | (v > 0.3))).any()


def test_mirroring_turns_the_animal_round_and_leaves_the_backdrop():
    scene = _upright(SCENES[1]).replace(x=0.5, backdrop="plain blue")
    mirrored = np.asarray(render(scene.replace(mirrored=True)))[:, ::-1]
    assert np.abs(mirrored.astype(int) - np.asarray(render(scene))).mean() < 4
    assert _changed(scene, scene.replace(mirrored=True)).any()


def test_the_object_mask_moves_with_the_animal():
    scene = SCENES[0].replace(x=0.4, y=0.55)
    here = np.asarray(object_mask(scene))
    there = np.asarray(object_mask(scene.replace(x=0.4 + 8 / 64)))
    assert (here[:, :-8] == there[:, 8:]).mean() > 0.99
