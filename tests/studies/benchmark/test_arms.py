import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.optimise import ZeroShot
from i2i_dds.errors import UserError
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.studies.benchmark.arms import Arm
from i2i_dds.teacher.interface import Teacher


@pytest.fixture
def scenes(analytic):
    generator = torch.Generator().manual_seed(2)
    return [
        {
            "key": f"scene-{i}",
            "image": torch.randn(4, 3, 4, dtype=torch.float64, generator=generator),
            "source": "0",
            "target": "1",
            "mask": torch.zeros(1, 3, 4, dtype=torch.float64),
        }
        for i in range(2)
    ]


def test_pictures_on_the_way_are_those_of_shorter_runs(analytic, scenes):
    editor = ZeroShot(lr=0.05, guidance=2.0, steps=99)
    arm = Arm(editor, "iterations", [2, 5])
    two, five = arm.cuts(analytic, scenes, None, 0, every=True)
    assert (two.strength, five.strength) == (2, 5)
    assert (two.evaluations, five.evaluations) == (8, 20)
    assert 0 < two.seconds < five.seconds
    for cut in (two, five):
        alone = Arm(replace(editor, steps=cut.strength), "steps", [cut.strength])
        (whole,) = alone.cuts(analytic, scenes, None, 0, every=True)
        assert torch.equal(whole.x, cut.x) and whole.evaluations == cut.evaluations


def test_where_the_main_strength_is_enough_no_iteration_follows_it(analytic, scenes):
    arm = Arm(ZeroShot(lr=0.05, guidance=2.0), "iterations", [2, 4, 9], main=4)
    asked = analytic.evaluations
    few = list(arm.cuts(analytic, scenes, None, 0, every=False))
    assert analytic.evaluations - asked == 4 * 4 * len(scenes)
    assert [cut.strength for cut in few] == [2, 4]
    for some, all_ in zip(few, arm.cuts(analytic, scenes, None, 0, every=True), strict=False):
        assert torch.equal(some.x, all_.x) and some.evaluations == all_.evaluations


def test_after_all_have_stopped_more_iterations_change_nothing(analytic, scenes):
    editor = ZeroShot(lr=0.05, guidance=2.0, stop=lambda done: done.step == 2)
    three, five, nine = Arm(editor, "iterations", [3, 5, 9]).cuts(analytic, scenes, None, 0, True)
    assert torch.equal(three.x, five.x) and torch.equal(three.x, nine.x)
    assert three.evaluations == five.evaluations == nine.evaluations == 3 * 4


def test_a_strength_is_a_setting_of_the_editor(analytic, scenes):
    arm = Arm(Inversion(steps=10, guidance=1.0), "t0", [0.3, 0.6, 0.9], main=0.6)
    assert arm.main_value == 0.6
    cuts = list(arm.cuts(analytic, scenes, None, 0, every=True))
    assert [cut.strength for cut in cuts] == [0.3, 0.6, 0.9]
    assert [cut.evaluations for cut in cuts] == [6, 12, 18]
    (main,) = arm.cuts(analytic, scenes, None, 0, every=False)
    assert main.strength == 0.6 and torch.equal(main.x, cuts[1].x)


def test_doing_nothing_gives_the_pictures_back(analytic, scenes):
    (cut,) = Arm().cuts(analytic, scenes, None, 0, every=True)
    assert torch.equal(cut.x, torch.stack([scene["image"] for scene in scenes]))
    assert math.isnan(cut.strength) and (cut.seconds, cut.evaluations) == (0, 0)
    assert math.isnan(Arm().main_value) and Arm().can("anything")


def test_masks_given_and_found(analytic, scenes):
    editor, untouched = ZeroShot(lr=0.05, guidance=2.0), torch.stack([s["image"] for s in scenes])
    told = Arm(editor, "iterations", [3], masked=True)  # the given masks are black
    (cut,) = told.cuts(analytic, scenes, None, 0, every=True)
    assert torch.equal(cut.x, untouched)
    finds = Arm(editor, "iterations", [3], automask=AutoMask(noises=2))
    (cut,) = finds.cuts(analytic, scenes, None, 0, every=True)
    changed = (cut.x != untouched).any(1)
    assert changed.any() and not changed.all()
    assert cut.evaluations == 2 * 4 + 3 * 4  # finding the mask counts


def test_entries_that_were_not_finite_come_with_the_cut(analytic, scenes):
    def spoilt(teacher: Teacher, inputs: ScoreInput) -> Tensor:
        grad = DDS()(teacher, inputs).clone()
        grad[0, 0, 0, 0] = float("nan")
        return grad

    editor = ZeroShot(lr=0.05, guidance=2.0, score=spoilt)
    on_the_way = Arm(editor, "iterations", [1, 3]).cuts(analytic, scenes, None, 0, every=True)
    assert [cut.nonfinite for cut in on_the_way] == [1, 3]
    at_the_end = Arm(editor, "steps", [2]).cuts(analytic, scenes, None, 0, every=True)
    assert [cut.nonfinite for cut in at_the_end] == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ZeroShot(), "t0", [0.5]), "strength: 't0' is no setting of this editor; give iterations"),
        ((ZeroShot(), "lr", [0.1], 0.2), "main: 0.2 is not allowed; give one of"),
        ((ZeroShot(), "guidance"), "values: none are given; give one or more of the strength"),
    ],
)
def test_arms_that_cannot_be(arguments, message):
    with pytest.raises(UserError, match=message):
        Arm(*arguments)
