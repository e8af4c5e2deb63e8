"""Mean distances of features that were shifted by a known way."""

import math
import sys

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.metrics.drag import (
    distances_dragdiffusion,
    image_fidelity,
    mean_distance_dragdiffusion,
    mean_distance_regiondrag,
)

BOTH = (mean_distance_dragdiffusion, mean_distance_regiondrag)
SIZE = (40, 20)


def features(channels: int = 70, height: int = 20, width: int = 40) -> torch.Tensor:
    return torch.randn(channels, height, width)


@pytest.mark.parametrize("measure", BOTH)
def test_content_that_reached_its_target_has_distance_zero(measure):
    here = features()
    there = here.roll((3, 8), (1, 2))  # down by 3, right by 8
    assert measure(here, there, [((10, 5), (18, 8)), ((12.7, 9.9), (20.7, 12.9))], SIZE) == 0


def test_content_that_stayed_has_the_length_of_the_drag():
    here, points = features(), [((10, 5), (13, 9)), ((20, 10), (20, 4))]
    # 3-4-5, and 6 up
    assert distances_dragdiffusion(here, here, points, SIZE).tolist() == [5, 6]
    assert mean_distance_dragdiffusion(here, here, points, SIZE) == 5.5
    # 3/40 and 4/20, and 6/20, times 100
    expected = (math.hypot(7.5, 20) + 30) / 2
    assert mean_distance_regiondrag(here, here, points, SIZE) == pytest.approx(expected)


def test_only_regiondrag_looks_no_further_than_its_circles():
    here = features()
    far = here.roll(15, 2)  # 15 to the right of the handle, and 11 of the target
    points = [((10, 10), (14, 10))]
    assert mean_distance_dragdiffusion(here, far, points, SIZE) == 11
    # Circles of 5 pixels: the least radius, as 4 / sqrt(2) is less; no pixel is 5 away.
    assert mean_distance_regiondrag(here, far, points, SIZE) < 100 * 9 / 40
    lone = torch.zeros(2, 20, 40)
    lone[0], lone[1, 10, 10] = 1, 5
    edit = torch.zeros(2, 20, 40)
    edit[0], edit[1, 10, 18], edit[1, 10, 19] = 1, 4, 5  # 4 and 5 from the target
    assert mean_distance_regiondrag(lone, edit, points, SIZE) == pytest.approx(100 * 4 / 40)
    # A drag of 10 has a radius of 7.07: the place 7 from the target is in, that 8 from it is not.
    edit = torch.zeros(2, 20, 40)
    edit[0], edit[1, 10, 27], edit[1, 10, 28] = 1, 4, 5
    far_points = [((10, 10), (20, 10))]
    assert mean_distance_regiondrag(lone, edit, far_points, SIZE) == pytest.approx(100 * 7 / 40)


def test_features_are_compared_by_direction_and_not_by_length():
    here = features()
    louder = here.roll(4, 2) * torch.rand(1, 20, 40).add(0.5)
    assert mean_distance_dragdiffusion(here, louder, [((10, 5), (14, 5))], SIZE) == 0


def test_small_features_are_enlarged_each_in_its_way():
    torch.manual_seed(3)
    small = features(70, 5, 10)  # a quarter of the picture
    point = [((9, 9), (9, 9))]
    # Bilinear, in the middle between its neighbors, a pixel's feature is its own.
    assert mean_distance_dragdiffusion(small, small, point, SIZE) == 0
    # Nearest, all of a cell's 16 pixels are equal and the first counts: (8, 8) for (9, 9).
    expected = 100 * math.hypot(1 / 40, 1 / 20)
    assert mean_distance_regiondrag(small, small, point, SIZE) == pytest.approx(expected)


def test_dragdiffusion_is_the_published_loop():
    here, there = features(70, 5, 10), features(70, 5, 10)
    points = [((10, 5), (13, 9)), ((20, 10), (39, 19))]
    up = [
        torch.nn.functional.interpolate(f[None], (20, 40), mode="bilinear") for f in (here, there)
    ]
    expected = []
    for (hx, hy), (tx, ty) in points:
        similarity = torch.cosine_similarity(up[0][:, :, hy, hx, None, None], up[1], dim=1)[0]
        row, column = divmod(int(similarity.argmax()), 40)
        expected.append(math.hypot(row - ty, column - tx))
    assert distances_dragdiffusion(here, there, points, SIZE).tolist() == pytest.approx(expected)


def test_image_fidelity_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(UserError, match=r"i2i-dds\[lpips\]"):
        image_fidelity(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
