import math

import pytest
import torch

from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.sdedit import SDEdit
from i2i_dds.research.samplers import Ran, costs, hole, translator


@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.5, 1.0])
def test_a_hole_is_a_square_of_whole_cells_and_of_the_asked_area(ratio):
    places = set()
    for number in range(40):
        mask = hole(f"scene-{number}", ratio, 64, 4)
        cells = mask.reshape(16, 4, 16, 4)
        assert torch.equal(cells.amin((1, 3)), cells.amax((1, 3)))
        rows, columns = mask[0].any(1).nonzero()[:, 0], mask[0].any(0).nonzero()[:, 0]
        assert mask.sum() == len(rows) * len(columns) == (4 * round(math.sqrt(ratio) * 16)) ** 2
        places.add((rows[0].item(), columns[0].item()))
    assert torch.equal(hole("scene-1", ratio, 64, 4), hole("scene-1", ratio, 64, 4))
    assert len(places) == 1 if ratio == 1 else len(places) > 8


def test_translators_by_name():
    assert translator("sdedit", "ode", 10, 0.4, 2.0) == SDEdit("ode", 10, 0.4, 2.0)
    assert translator("diffedit", "cycle_sde", 10, 0.4, 2.0) == Inversion("cycle_sde", 10, 0.4, 2.0)


def test_costs_are_for_one_picture():
    assert costs(Ran(torch.zeros(2, 3, 4, 4), 0.5, 12.0)) == {
        "seconds_per_image": 0.5,
        "evaluations_per_image": 12.0,
    }
