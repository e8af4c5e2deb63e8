from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.guidance import LinearScale
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.drag import Drag, copy_paste
from i2i_dds.editing.handles import Move
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.errors import UserError
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

QUICK = Drag(steps=5, strength=0.6, radius=1, drag_step=1)
HANDLES = [((1, 1), (3, 1))]


@pytest.fixture
def batch(tiny, batch_of) -> EditBatch:
    return batch_of(tiny, "a cat", "a cat", n=1, side=6)


def test_squares_are_cut_before_any_is_pasted():
    z = torch.arange(36.0).reshape(1, 1, 6, 6)
    moves = Move((1, 1), (3, 1)), Move((3, 1), (1, 1))
    swapped = copy_paste(z, moves, Drag(radius=0, alpha=1.5), item_generators(0, [0]))
    assert swapped[0, 0, 1, 3] == 1.5 * z[0, 0, 1, 1]
    assert swapped[0, 0, 1, 1] == 1.5 * z[0, 0, 1, 3]
    untouched = torch.ones(6, 6, dtype=torch.bool)
    untouched[1, 1] = untouched[1, 3] = False
    assert torch.equal(swapped[0, 0][untouched], z[0, 0][untouched])
    assert torch.equal(z, torch.arange(36.0).reshape(1, 1, 6, 6))


def test_where_the_square_was_noise_fills_it_up_to_unit_variance():
    z = torch.randn(1, 4, 200, 200, generator=torch.Generator().manual_seed(0))
    settings = Drag(radius=49, alpha=2.0, beta=0.3)
    moved = copy_paste(z, [Move((50, 50), (150, 150))], settings, item_generators(0, [0]))
    left, pasted = moved[..., 1:100, 1:100], moved[..., 101:200, 101:200]
    square = z[..., 1:100, 1:100]
    assert torch.equal(pasted, 2.0 * square)
    fresh = (left - 0.3 * square) / 0.91**0.5
    assert fresh.std().item() == pytest.approx(1, abs=0.02)
    assert (fresh * square).mean().item() == pytest.approx(0, abs=0.02)
    assert left.std().item() == pytest.approx(1, abs=0.02)
    kept = copy_paste(z, [Move((50, 50), (150, 150))], replace(settings, beta=1.0),
                      item_generators(0, [0]))  # fmt: skip
    assert torch.equal(kept[..., 1:100, 1:100], square)


@pytest.mark.parametrize("sampler", ["cycle_sde", "sde", "ode"])
@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
def test_outside_the_mask_every_step_leaves_the_source_to_the_bit(tiny, batch, sampler, order):
    mask = torch.zeros(1, 1, 6, 6)
    mask[..., :3, :] = 1
    handles = [*HANDLES, ((4, 2), (4, 0))]
    drag = replace(QUICK, sampler=sampler, order=order)
    steps = list(drag(tiny, replace(batch, mask=mask), handles))
    assert len(steps) == len(drag.moves(handles)) * 3
    assert len(drag.moves(handles)) == (2 if order == "simultaneous" else 4)
    assert [done.step for done in steps] == list(range(steps[0].steps))
    for done in steps:
        assert torch.equal(done.z[..., 3:, :], batch.z_src[..., 3:, :])
    assert not torch.equal(steps[-1].z[..., :3, :], batch.z_src[..., :3, :])


def test_a_drag_that_pastes_what_was_there_is_the_identity_with_cycle_sde(tiny, batch):
    """radius 0, all of the square left, and the mask over what is pasted: nothing changes."""
    mask = torch.ones(1, 1, 6, 6)
    mask[..., 1, 2:4] = 0
    drag = replace(QUICK, radius=0, beta=1.0)
    assert torch.equal(finish(drag(tiny, replace(batch, mask=mask), HANDLES)).z, batch.z_src)
    fresh = replace(drag, sampler="sde")
    assert not torch.equal(finish(fresh(tiny, replace(batch, mask=mask), HANDLES)).z, batch.z_src)


@pytest.mark.parametrize("sampler", ["cycle_sde", "sde", "ode"])
def test_an_exact_teacher_carries_a_thing_to_its_target(sampler):
    """A world of one bright cell that may be anywhere: dragged, it is found at the target."""
    side, height = 8, 10.0
    means = height * torch.eye(side * side, dtype=torch.float64).reshape(-1, 1, side, side)
    teacher = GaussianMixtureTeacher(means, 0.3 * torch.ones(side * side, dtype=torch.float64))
    start, end = (2, 3), (6, 5)
    z = means[start[1] * side + start[0]][None] + 0.3 * torch.randn(1, 1, side, side)
    drag = Drag(
        sampler,
        steps=40,
        strength=0.6,
        radius=1,
        drag_step=2,
        guidance_scale=1,
        guidance_scale_end=1,
    )
    batch = EditBatch(z, *[teacher.embed([""])] * 2, item_generators(0, [0]))
    dragged = finish(drag(teacher, batch, [(start, end)])).z[0, 0]
    assert (dragged > height / 2).nonzero().tolist() == [[end[1], end[0]]]


def test_guidance_grows_from_the_clean_end_to_t0():
    scale = LinearScale(1.0, 3.0, 600)
    assert [scale(t) for t in (0, 300, 600, 900)] == [1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"order": "random"}, "order: 'random' is not allowed; give one of simultaneous"),
        ({"sampler": "ddim"}, "sampler: 'ddim' is not allowed"),
        ({"radius": -1}, "radius: -1 is not allowed; give a whole number of at least 0"),
        ({"beta": 1.1}, "beta: 1.1 is not allowed; give a number from 0 to 1"),
        ({"drag_step": 0}, "drag_step: 0 is not allowed; give a number above 0"),
        ({"strength": 0}, "strength: 0 is not allowed"),
        ({"steps": 0}, "steps: 0 is not allowed"),
    ],
)
def test_settings_that_make_no_drag_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        Drag(**wrong)
