"""From a picture with handles to the dragged picture."""

from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.drag_items import DragRequest, cell_mask, cells_of, drag_item
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.errors import UserError

DRAG = Drag(steps=4, strength=0.5, radius=1, drag_step=1)


@pytest.fixture
def request_() -> DragRequest:
    """A picture of 8 x 6 cells of 4 pixels; the handle goes two cells to the right."""
    x = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 24, 32)
    mask[:, 4:16, 4:24] = 1
    return DragRequest("one", x, "a cat", (((6, 9), (14, 9)),), mask=mask)


def test_points_of_the_picture_as_it_was_become_cells_once(request_):
    # Pixel 6 of 32 lies in cell 1 of 8; of a picture three times as large it is pixel 18.
    assert cells_of(request_, 4) == [((1, 2), (3, 2))]
    larger = replace(request_, points=(((18, 27), (42, 27)),), size=(96, 72))
    assert cells_of(larger, 4) == [((1, 2), (3, 2))]


def test_handles_of_which_none_would_move_are_refused(request_):
    with pytest.raises(UserError, match="points: no handle lies in another latent cell"):
        cells_of(replace(request_, points=(((4, 4), (7, 7)),)), 4)


def test_a_cell_may_change_if_the_mask_touches_it():
    mask = torch.zeros(1, 8, 12)
    mask[0, 3, 4] = 0.1
    cells = cell_mask(mask, 4)
    assert cells is not None
    assert cells.tolist() == [[[[0, 1, 0], [0, 0, 0]]]]


def test_no_mask_and_an_empty_one_let_everything_change(request_, tiny):
    empty = replace(request_, mask=torch.zeros(1, 24, 32))
    free = replace(request_, mask=None)
    both = [drag_item(DRAG, tiny, request, 0) for request in (empty, free)]
    assert both[0].mask is None and torch.equal(both[0].z, both[1].z)
    assert (both[0].z != both[0].z_src).all(1).all()


def test_an_item_is_dragged_as_its_batch_is(request_, tiny):
    told: list[EditStep] = []
    dragged = drag_item(DRAG, tiny, request_, 7, told.append)
    z, text = tiny.encode(request_.x[None]), tiny.embed(["a cat"])
    generators = item_generators(7, ["one"])
    batch = EditBatch(z, text, text, generators, cell_mask(request_.mask, 4))
    *_, last = DRAG(tiny, batch, [((1, 2), (3, 2))])
    assert torch.equal(dragged.z, last.z) and torch.equal(dragged.z_src, z)
    assert torch.equal(dragged.x, tiny.decode(last.z)[0])
    assert [step.step for step in told] == list(range(last.steps)) and last.steps == 2 * 2
    assert not torch.equal(dragged.z, drag_item(DRAG, tiny, request_, 8).z)


def test_what_is_told_of_it(request_, tiny):
    two = replace(request_, points=(*request_.points, ((20, 20), (21, 21))))
    dragged = drag_item(DRAG, tiny, two, 0)
    assert dragged.handles == (((1, 2), (3, 2)), ((5, 5), (5, 5)))
    assert dragged.collapsed == (1,) and dragged.drag_steps == 2
    # Two drag steps of two reverse steps; the way down asks for the path's noise beside the
    # result's own, each with and without the prompt where the scale is not 1.
    one_step = drag_item(replace(DRAG, drag_step=2), tiny, two, 0)
    assert dragged.nfe == 2 * one_step.nfe > 0
    assert dragged.seconds > 0 and dragged.nonfinite == 0
    assert len(dragged.frames) == 3
    assert torch.equal(dragged.frames[0], tiny.decode(dragged.z_src)[0])
    assert torch.equal(dragged.frames[-1], dragged.x)
    assert not torch.equal(dragged.frames[1], dragged.x)


def test_outside_the_mask_the_latent_is_the_sources_to_the_bit(request_, tiny):
    for sampler in ("cycle_sde", "sde", "ode"):
        dragged = drag_item(replace(DRAG, sampler=sampler), tiny, request_, 0)
        assert dragged.mask is not None
        same = (dragged.z == dragged.z_src).all(1, keepdim=True)
        assert torch.equal(same, dragged.mask == 0), sampler
