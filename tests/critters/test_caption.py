"""Captions: true, varied, and always naming the animal."""

import numpy as np

from i2i_dds.critters import ATTRIBUTES, SPECIES, caption, names_backdrop, scenes


def test_captions_name_the_species_and_no_other():
    for i, scene in enumerate(scenes("train", 400)):
        words = caption(scene, np.random.default_rng(i)).replace(",", "").split()
        assert [w for w in words if w in SPECIES] == [scene.species]


def test_captions_say_nothing_false():
    for i, scene in enumerate(scenes("train", 400)):
        words = caption(scene, np.random.default_rng(i))
        for fur in ATTRIBUTES["fur"]:
            if f" {fur} {scene.species}" in words:
                assert fur == scene.fur
        for accessory in ATTRIBUTES["accessory"][1:]:
            if accessory in words:
                assert accessory == scene.accessory
        others = [b for b in ATTRIBUTES["backdrop"] if b != scene.backdrop]
        assert not any(names_backdrop(words, scene.replace(backdrop=b)) for b in others)


def test_captions_of_one_scene_vary_and_repeat_with_their_generator():
    scene = scenes("train", 1)[0]
    words = {caption(scene, np.random.default_rng(i)) for i in range(30)}
    assert len(words) > 15
    assert caption(scene, np.random.default_rng(3)) == caption(scene, np.random.default_rng(3))


def test_the_article_fits_its_noun():
    for i, scene in enumerate(scenes("train", 300)):
        words = caption(scene, np.random.default_rng(i)).split()
        for article, noun in zip(words, words[1:], strict=False):
            if article in ("a", "an"):
                assert (article == "an") == (noun[0] in "aeiou")
