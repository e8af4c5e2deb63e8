"""Drags: what moves is known, moves as far as it says, and nothing else changes."""

import hashlib
import math

import numpy as np
import pytest

from i2i_dds.critters import ATTRIBUTES, SPECIES, Scene, critter_drags, render, scenes
from i2i_dds.critters.drags import HANDLES, KINDS, drag_mask, drag_points
from i2i_dds.critters.ears import Ears
from i2i_dds.critters.render import coverage
from i2i_dds.errors import UserError

DRAGS = critter_drags("test", 36)


def _scene(**attributes):
    plain = Scene("cat", "ginger", "green", "smiling", "hat", "plain blue", 0.5, 0.5, 0.25)
    return plain.replace(**attributes)


def test_scenes_without_drags_look_as_they_did_before_there_were_any():
    """The hash was taken of the code that knew none of the fields a drag changes."""
    pictures = hashlib.sha256()
    for i, species in enumerate(SPECIES):
        for accessory in ATTRIBUTES["accessory"]:
            scene = scenes("test", 1, start=i, species=species, accessory=accessory)[0]
            pictures.update(render(scene).tobytes())
    expected = "dce544f220be0a930be59f4f0386b52f2e2475ddaa9f4e6db9546898e270efe2"
    assert pictures.hexdigest() == expected


def test_a_dict_from_before_drags_is_a_scene():
    values = _scene().to_dict()
    for name in ("wear_x", "wear_y", "ear_length", "ear_lean"):
        del values[name]
    assert Scene.from_dict(values) == _scene()
    moved = _scene(wear_y=0.3, ear_lean=12.0)
    assert Scene.from_dict(moved.to_dict()) == moved


def test_a_drag_depends_on_its_number_alone():
    assert critter_drags("test", 7) == DRAGS[:7]
    assert [d.kind for d in DRAGS[:6]] == [*KINDS, *KINDS]
    assert critter_drags("val", 3) != critter_drags("test", 3)
    assert critter_drags("test", 3, seed=1) != DRAGS[:3]
    assert len({d.key for d in DRAGS}) == len(DRAGS)


def test_size_changes_the_pictures_and_not_the_drags():
    for small, large in zip(DRAGS[:6], critter_drags("test", 6, size=128), strict=True):
        assert (small.scene, small.truth, small.prompt) == (large.scene, large.truth, large.prompt)
        np.testing.assert_allclose(np.array(small.points) * 2, large.points)
        assert large.mask.size == large.templates[0].size == (128, 128)


def test_drags_are_from_6_to_14_pixels_and_stay_in_the_picture():
    for drag in DRAGS:
        for handle, target in drag.points:
            assert 5.9 < math.dist(handle, target) < 14.2
            assert all(0 <= c < 64 for c in (*handle, *target))
        part = {"head": "animal", "accessory": "accessory", "ear": "ears"}[drag.kind]
        covered = np.asarray(coverage(drag.truth, 64, part))
        assert covered.any()
        for edge in (covered[0], covered[-1], covered[:, 0], covered[:, -1]):
            assert not edge.any()


def test_nothing_changes_outside_the_mask():
    for drag in DRAGS:
        before, after = (np.asarray(render(s)).astype(int) for s in (drag.scene, drag.truth))
        changed = (before != after).any(-1)
        exact = np.asarray(drag_mask(drag.kind, drag.scene, drag.truth, 64)) > 0
        assert changed.any()
        assert not (changed & ~exact).any()
        assert (np.asarray(drag.mask) > 0).sum() > exact.sum()


def test_the_margin_of_the_mask_is_in_pixels():
    dot = _scene(accessory="glasses")
    exact = np.asarray(drag_mask("accessory", dot, dot, 64)) > 0
    wide = np.asarray(drag_mask("accessory", dot, dot, 64, margin=3)) > 0
    rows, columns = (np.flatnonzero(exact.any(axis)) for axis in (1, 0))
    assert np.flatnonzero(wide.any(1))[[0, -1]].tolist() == [rows[0] - 3, rows[-1] + 3]
    assert np.flatnonzero(wide.any(0))[[0, -1]].tolist() == [columns[0] - 3, columns[-1] + 3]


def test_points_by_hand():
    # A hat's middle is 1.1 radii above the center; the radius is a quarter of 64, 16 pixels.
    hat = drag_points("accessory", _scene(), _scene(wear_x=0.25, wear_y=0.5), 64)
    np.testing.assert_allclose(hat, [[(32, 32 - 17.6), (36, 32 - 9.6)]])
    # Mirrored, x runs the other way; turned by 90 degrees clockwise, up is right.
    hat = drag_points("accessory", _scene(mirrored=True), _scene(mirrored=True, wear_x=0.25), 64)
    np.testing.assert_allclose(hat, [[(32, 14.4), (28, 14.4)]])
    turned = drag_points("accessory", _scene(tilt=90.0), _scene(tilt=90.0, wear_x=0.25), 64)
    np.testing.assert_allclose(turned, [[(49.6, 32), (49.6, 36)]])


def test_a_head_can_be_held_in_more_places():
    before, after = _scene(), _scene(x=0.625)
    pairs = drag_points("head", before, after, 64, HANDLES)
    # A cat's eyes are 0.42 from the middle and 0.16 above it, its mouth 0.52 below.
    expected = [(32, 32), (32 - 6.72, 32 - 2.56), (32 + 6.72, 32 - 2.56), (32, 32 + 8.32)]
    np.testing.assert_allclose([h for h, _ in pairs], expected)
    np.testing.assert_allclose([(t[0] - h[0], t[1] - h[1]) for h, t in pairs], [(8, 0)] * 4)


def test_ears_bend_by_hand():
    ears = Ears(lambda pen, coat: None, base=(-1.0, 0.0), tip=(-1.0, -1.0))
    assert ears.bend((-1.0, -1.0), 1.5, 0.0) == pytest.approx((-1.0, -1.5))
    assert ears.bend((-1.2, -1.0), 1.5, 0.0) == pytest.approx((-1.2, -1.5))  # no wider
    assert ears.bend((-1.0, -1.0), 1.0, 90.0) == pytest.approx((-2.0, 0.0))  # outwards
    assert ears.bend((1.0, -1.0), 1.0, 90.0) == pytest.approx((2.0, 0.0))
    assert ears.bend((-1.0, 0.0), 2.0, 45.0) == pytest.approx((-1.0, 0.0))


def test_templates_cover_the_targets():
    for drag in DRAGS:
        assert len(drag.templates) == len(drag.points)
        for template, (_, target) in zip(drag.templates, drag.points, strict=True):
            near = [int(c) for c in target]
            patch = np.asarray(template)[near[1] - 3 : near[1] + 4, near[0] - 3 : near[0] + 4]
            assert patch.max() > 200, drag.key


def test_what_cannot_be_dragged_is_refused():
    with pytest.raises(UserError, match=r"kinds: \['tail'\].*head.*accessory.*ear"):
        critter_drags("test", 1, kinds=["tail"])  # type: ignore[list-item]
    with pytest.raises(UserError, match=r"handles: \[\]"):
        critter_drags("test", 1, handles=[])
    with pytest.raises(UserError, match=r"species: the ears of 'bear'"):
        drag_points("ear", _scene(species="bear"), _scene(species="bear"), 64)
    with pytest.raises(UserError, match=r"split: 'dev'"):
        critter_drags("dev", 1)  # type: ignore[arg-type]
