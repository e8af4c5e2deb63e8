"""A dragged thing is found where it is, and not in pictures that lack it."""

import numpy as np
import pytest
import torch

from i2i_dds.data.dragbench import critter_items
from i2i_dds.data.images import to_tensor
from i2i_dds.metrics.arrival import arrived, correlations


def picture(x: int, y: int, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of 8 x 8 on a flat ground, and its mask."""
    image, mask = torch.full((3, size, size), -0.2), torch.zeros(1, size, size)
    thing = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(5)) * 2 - 1
    image[:, y : y + 8, x : x + 8], mask[:, y : y + 8, x : x + 8] = thing, 1
    return image, mask


def test_offset_and_score_by_hand():
    truth, mask = picture(16, 12)
    found = arrived(picture(16, 12)[0], truth, mask, (-8, 0), 2)
    assert (found.success, found.offset, found.score) == (True, (0, 0), pytest.approx(1))
    moved = arrived(picture(13, 16)[0], truth, mask, (-8, 0), 2)  # 3 left, 4 down: 5 away
    assert (moved.success, moved.offset, moved.score) == (False, (-3, 4), pytest.approx(1))
    assert arrived(picture(13, 16)[0], truth, mask, (-8, 0), 5).success
    stayed = arrived(picture(8, 12)[0], truth, mask, (-8, 0), 2)
    assert (stayed.success, stayed.offset) == (False, (-8, 0))
    assert stayed.score == stayed.score_before == pytest.approx(1)


def test_correlation_is_numpys():
    torch.manual_seed(1)
    edited, truth = torch.randn(3, 12, 12), torch.randn(3, 12, 12)
    mask = torch.zeros(1, 12, 12)
    mask[:, 4:8, 3:9] = 1
    scores = correlations(edited, truth, mask, 3)
    assert scores.shape == (7, 7)
    for dx, dy in ((0, 0), (-3, 2), (3, -3)):
        moved = edited[:, 4 + dy : 8 + dy, 3 + dx : 9 + dx]
        pair = np.stack([truth[:, 4:8, 3:9].flatten(), moved.flatten()])
        assert scores[3 + dy, 3 + dx].item() == pytest.approx(np.corrcoef(pair)[0, 1])


def test_contrast_and_brightness_do_not_matter():
    truth, mask = picture(16, 12)
    assert arrived(truth * 0.3 + 0.4, truth, mask, (-8, 0), 2).score == pytest.approx(1)
    assert not arrived(-truth, truth, mask, (-8, 0), 2).success


def test_a_thing_may_reach_over_the_edge_by_a_quarter():
    truth, mask = picture(16, 12)
    edited = torch.full_like(truth, -0.2)
    edited[:, 12:20, 26:32] = truth[:, 12:20, 16:22]  # 6 of 8 columns
    assert arrived(edited, truth, mask, (-8, 0), 2, reach=14).offset == (10, 0)
    edited = torch.full_like(truth, -0.2)
    edited[:, 12:20, 27:32] = truth[:, 12:20, 16:21]
    assert correlations(edited, truth, mask, 14)[14, 14 + 11] == 0


@pytest.mark.parametrize("color", [(0.0, 0.0, 0.0), (-0.2, 0.3, 0.8), (1.0, 1.0, 1.0)])
def test_a_blank_picture_has_nothing_in_it(color):
    for given in critter_items("test", 6):
        blank = torch.tensor(color)[:, None, None].expand(3, 64, 64)
        assert not all(found.success for found in _arrivals(blank, given))


def test_critters_arrive_in_the_truth_and_not_in_the_source():
    torch.manual_seed(0)
    for given in critter_items("test", 30):
        truth, source = to_tensor(given.truth), to_tensor(given.item.image)
        assert all(found.success for found in _arrivals(truth, given)), given.item.name
        # All, not any: a shortened ear's tip looks much like the middle of the whole ear.
        assert not all(found.success for found in _arrivals(source, given)), given.item.name
        assert not any(f.success for f in _arrivals(torch.rand(3, 64, 64), given)), given.item.name


def _arrivals(edited, given):
    truth = to_tensor(given.truth)
    return [
        arrived(edited, truth, to_tensor(mask), (h[0] - t[0], h[1] - t[1]), 4)
        for mask, (h, t) in zip(given.templates, given.item.points, strict=True)
    ]
