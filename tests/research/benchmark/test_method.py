import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.errors import UserError
from i2i_dds.research.benchmark.method import Method
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
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
    editor = LatentOptimization(lr=0.05, guidance_scale=2.0, steps=99)
    method = Method(editor, "iterations", [2, 5])
    two, five = method.outputs(analytic, scenes, None, 0, full_sweep=True)
    assert (two.value, five.value) == (2, 5)
    assert (two.nfe, five.nfe) == (8, 20)
    assert 0 < two.seconds < five.seconds
    for output in (two, five):
        alone = Method(replace(editor, steps=output.value), "steps", [output.value])
        (whole,) = alone.outputs(analytic, scenes, None, 0, full_sweep=True)
        assert torch.equal(whole.x, output.x) and whole.nfe == output.nfe


def test_where_the_main_strength_is_enough_no_iteration_follows_it(analytic, scenes):
    method = Method(
        LatentOptimization(lr=0.05, guidance_scale=2.0), "iterations", [2, 4, 9], default=4
    )
    asked = analytic.nfe
    few = list(method.outputs(analytic, scenes, None, 0, full_sweep=False))
    assert analytic.nfe - asked == 4 * 4 * len(scenes)
    assert [output.value for output in few] == [2, 4]
    for some, all_ in zip(
        few, method.outputs(analytic, scenes, None, 0, full_sweep=True), strict=False
    ):
        assert torch.equal(some.x, all_.x) and some.nfe == all_.nfe


def test_after_all_have_stopped_more_iterations_change_nothing(analytic, scenes):
    editor = LatentOptimization(lr=0.05, guidance_scale=2.0, stop=lambda done: done.step == 2)
    three, five, nine = Method(editor, "iterations", [3, 5, 9]).outputs(
        analytic, scenes, None, 0, True
    )
    assert torch.equal(three.x, five.x) and torch.equal(three.x, nine.x)
    assert three.nfe == five.nfe == nine.nfe == 3 * 4


def test_a_strength_is_a_setting_of_the_editor(analytic, scenes):
    method = Method(
        Inversion(steps=10, guidance_scale=1.0), "strength", [0.3, 0.6, 0.9], default=0.6
    )
    assert method.default_value == 0.6
    outputs = list(method.outputs(analytic, scenes, None, 0, full_sweep=True))
    assert [output.value for output in outputs] == [0.3, 0.6, 0.9]
    assert [output.nfe for output in outputs] == [6, 12, 18]
    (main,) = method.outputs(analytic, scenes, None, 0, full_sweep=False)
    assert main.value == 0.6 and torch.equal(main.x, outputs[1].x)


def test_doing_nothing_gives_the_pictures_back(analytic, scenes):
    (output,) = Method().outputs(analytic, scenes, None, 0, full_sweep=True)
    assert torch.equal(output.x, torch.stack([scene["image"] for scene in scenes]))
    assert math.isnan(output.value) and (output.seconds, output.nfe) == (0, 0)
    assert math.isnan(Method().default_value) and Method().can("anything")


def test_masks_given_and_found(analytic, scenes):
    editor, untouched = (
        LatentOptimization(lr=0.05, guidance_scale=2.0),
        torch.stack([s["image"] for s in scenes]),
    )
    told = Method(editor, "iterations", [3], masked=True)  # the given masks are black
    (output,) = told.outputs(analytic, scenes, None, 0, full_sweep=True)
    assert torch.equal(output.x, untouched)
    finds = Method(editor, "iterations", [3], automask=AutoMask(num_noise=2))
    (output,) = finds.outputs(analytic, scenes, None, 0, full_sweep=True)
    changed = (output.x != untouched).any(1)
    assert changed.any() and not changed.all()
    assert output.nfe == 2 * 4 + 3 * 4  # finding the mask counts


def test_entries_that_were_not_finite_come_with_the_cut(analytic, scenes):
    def spoilt(teacher: Teacher, inputs: ScoreInput) -> Tensor:
        grad = DDS()(teacher, inputs).clone()
        grad[0, 0, 0, 0] = float("nan")
        return grad

    editor = LatentOptimization(lr=0.05, guidance_scale=2.0, score=spoilt)
    on_the_way = Method(editor, "iterations", [1, 3]).outputs(
        analytic, scenes, None, 0, full_sweep=True
    )
    assert [output.nonfinite for output in on_the_way] == [1, 3]
    at_the_end = Method(editor, "steps", [2]).outputs(analytic, scenes, None, 0, full_sweep=True)
    assert [output.nonfinite for output in at_the_end] == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (LatentOptimization(), "strength", [0.5]),
            "parameter: 'strength' is no setting of this editor; give iterations",
        ),
        ((LatentOptimization(), "lr", [0.1], 0.2), "default: 0.2 is not allowed; give one of"),
        (
            (LatentOptimization(), "guidance_scale"),
            "values: none are given; give one or more of the parameter",
        ),
    ],
)
def test_methods_that_cannot_be(arguments, message):
    with pytest.raises(UserError, match=message):
        Method(*arguments)
