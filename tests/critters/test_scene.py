"""Scenes: deterministic, split apart, and refusing what they do not know."""

import pytest

from i2i_dds.critters import ATTRIBUTES, Scene, scenes
from i2i_dds.errors import UserError


def test_a_scene_depends_on_its_number_alone():
    assert scenes("train", 8)[5] == scenes("train", 1, start=5)[0]


def test_splits_and_seeds_share_no_scene():
    drawn = [s for split in ("train", "val", "test") for s in scenes(split, 300)]
    drawn += scenes("train", 300, seed=1)
    assert len(set(drawn)) == len(drawn)


def test_fixed_attributes_hold_and_the_rest_does_not_move():
    free, held = scenes("val", 20), scenes("val", 20, species="cat", backdrop=("meadow", "snow"))
    assert {s.species for s in held} == {"cat"}
    assert {s.backdrop for s in held} == {"meadow", "snow"}
    assert [s.x for s in held] == [s.x for s in free]
    assert [s.fur for s in held] == [s.fur for s in free]


def test_every_value_of_every_attribute_occurs():
    drawn = scenes("train", 800)
    for name, values in ATTRIBUTES.items():
        assert {getattr(s, name) for s in drawn} == set(values)


def test_a_scene_survives_its_dict():
    scene = scenes("test", 1)[0]
    assert Scene.from_dict(scene.to_dict()) == scene


def test_unknown_names_and_values_are_refused():
    scene = scenes("train", 1)[0]
    with pytest.raises(UserError, match=r"species: 'unicorn'.*cat, dog"):
        scene.replace(species="unicorn")
    with pytest.raises(UserError, match=r"color: not an attribute"):
        scene.replace(color="red")
    with pytest.raises(UserError, match=r"split: 'dev'.*train, val, test"):
        scenes("dev", 1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"fur: 'green'.*ginger"):
        scenes("train", 1, fur="green")
