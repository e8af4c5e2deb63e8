"""What is the same of the source is asked once: by several targets, and of an empty prompt."""

from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.batches import EditItem, edit_items
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.scores.dds import DDS
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.rows import SameRows
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

STEPS = 3


def item(name: str, target: str, shade: float = 0.2, **more) -> EditItem:
    x = torch.full((3, 32, 32), shade)
    x[:, :16] = -shade
    return EditItem(name=name, key="cat", x=x, source="a cat", target=target, **more)


def rows(teacher, items, editor=None) -> float:
    """Rows of the network for each step."""
    before = teacher.nfe
    list(edit_items(editor or LatentOptimization(DDS(), STEPS), teacher, items, 0, len(items)))
    return (teacher.nfe - before) / STEPS


def test_the_source_is_asked_once_for_all_targets_and_edits_are_the_same(tiny) -> None:
    targets = [item("1", "a lion"), item("2", "a dog"), item("3", "a cat")]
    assert rows(tiny, targets) == 2 * (3 + 1)
    editor = LatentOptimization(DDS(), STEPS)
    (together,) = edit_items(editor, tiny, targets, 0, 3)
    for place, one in enumerate(targets):
        (alone,) = edit_items(editor, tiny, [one], 0, 1)
        torch.testing.assert_close(together.z[place], alone.z[0], atol=1e-5, rtol=1e-5)
    moved = [point.distance for point in together.trajectory if point.name == "3"]
    assert moved == [0.0] * STEPS  # towards what it is already: no delta, to the bit


@pytest.mark.parametrize(
    "other",
    [
        item("2", "a dog", shade=0.3),
        replace(item("2", "a dog"), key="other"),
        replace(item("2", "a dog"), source="an animal"),
        replace(item("2", "a dog"), negative="snow"),
    ],
    ids=["another picture", "another noise", "another prompt", "another negative prompt"],
)
def test_sources_that_differ_in_anything_are_asked_each(tiny, other) -> None:
    assert rows(tiny, [item("1", "a lion"), other]) == 2 * 4


def test_timesteps_that_differ_by_place_are_asked_each(tiny) -> None:
    def by_place(step, steps, generators):
        return torch.arange(len(generators)) + 100

    editor = LatentOptimization(DDS(), STEPS, timesteps=by_place)
    assert rows(tiny, [item("1", "a lion"), item("2", "a dog")], editor) == 2 * 4


@pytest.mark.parametrize(
    ("source", "negative", "asked"),
    [("", "", 3), ("snow", "snow", 3), ("", "snow", 4), ("a cat", "", 4)],
)
def test_a_source_told_what_guidance_leads_away_from_is_asked_once(
    tiny, source: str, negative: str, asked: int
) -> None:
    one = replace(item("1", "a lion"), source=source, negative=negative)
    assert rows(tiny, [one]) == asked
    editor = LatentOptimization(DDS(), STEPS)
    (edited,) = edit_items(editor, tiny, [one], 0, 1)
    z_src = tiny.encode(one.x[None])
    text_neg = tiny.embed([negative]) if negative else None
    sides = tiny.embed([source]), tiny.embed(["a lion"])
    batch = EditBatch(z_src, *sides, item_generators(0, ["cat"]), text_neg=text_neg)
    expected = finish(editor(tiny, batch)).z  # which asks all
    assert (expected - z_src).abs().max() > 0.01
    torch.testing.assert_close(edited.z, expected, atol=1e-5, rtol=1e-5)


def test_sharing_the_source_waits_for_no_device(tmp_path) -> None:
    folder = build_random_stable_diffusion(tmp_path / "tiny", "tiny")
    teacher = StableDiffusionTeacher.load(str(folder), device="cpu")
    teacher.to("meta")  # where no tensor has numbers to wait for
    batch = EditBatch(
        z_src=torch.zeros(2, 4, 8, 8, device="meta"),
        text_src=teacher.embed([""]),
        text_tgt=teacher.embed(["a lion", "a wolf"]),
        generators=item_generators(0, ["a", "a"]),
        same_source=SameRows.of(["a", "a"], "meta"),
        neutral_source=True,
    )
    steps = list(LatentOptimization(DDS(), STEPS)(teacher, batch))
    assert len(steps) == STEPS and steps[-1].z.is_meta
