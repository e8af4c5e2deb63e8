"""PIE-Bench's measures, by hand and by the published way written out."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.metrics import perceptual
from i2i_dds.metrics.clip import Clip
from i2i_dds.metrics.piebench import (
    clip_edited,
    clip_whole,
    lpips_outside,
    mse_outside,
    psnr_outside,
    ssim_outside,
    structure_distance,
)

OUTSIDE = (psnr_outside, mse_outside, ssim_outside)


def pictures(n: int = 2, height: int = 20, width: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, height, width) * 2 - 1


def half(height: int = 20, width: int = 16) -> torch.Tensor:
    """A mask of the left half."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., : width // 2] = 1
    return mask


def test_errors_outside_are_averaged_over_all_pixels():
    x = torch.zeros(1, 3, 20, 16)
    y = x + 0.2  # 0.1 of [0, 1]: squared 0.01, in half of the pixels 0.005
    assert mse_outside(x, y, half()).item() == pytest.approx(1e4 * 0.005)
    assert psnr_outside(x, y, half()).item() == pytest.approx(10 * math.log10(1 / 0.005))


@pytest.mark.parametrize("value", OUTSIDE)
def test_what_happens_inside_the_mask_does_not_count(value):
    x, y = pictures(), pictures()
    inside = torch.where(half() > 0, y, x)
    assert torch.equal(value(x, inside, half()), value(x, x, half()))
    assert not torch.equal(value(x, torch.where(half() > 0, x, y), half()), value(x, x, half()))


def test_equal_pictures_have_the_best_numbers():
    x = pictures()
    assert psnr_outside(x, x, half()).tolist() == [pytest.approx(10 * math.log10(4e10))] * 2
    assert mse_outside(x, x, half()).tolist() == [0, 0]
    assert ssim_outside(x, x, half()).tolist() == pytest.approx([100, 100])


def ssim_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. (2004), eq. 13, in a window round every pixel; (3, H, W) in [0, 1]."""
    x, y = (np.pad(p, ((0, 0), (5, 5), (5, 5)), mode="reflect") for p in (x, y))
    along = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights = np.outer(along, along) / along.sum() ** 2
    values = []
    for channel in range(3):
        for i in range(x.shape[1] - 10):
            for j in range(x.shape[2] - 10):
                a, b = (p[channel, i : i + 11, j : j + 11] for p in (x, y))
                ma, mb = (weights * a).sum(), (weights * b).sum()
                va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
                both = (weights * (a - ma) * (b - mb)).sum()
                light = (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2)
                values.append(light * (2 * both + 0.03**2) / (va + vb + 0.03**2))
    return float(np.mean(values))


def test_ssim_is_the_papers_of_pictures_black_inside_the_mask():
    x, y = pictures(), pictures()
    keep = 1 - half().numpy()
    there, here = (((p.numpy() + 1) / 2) * keep for p in (x, y))
    expected = [100 * ssim_by_hand(a, b) for a, b in zip(there, here, strict=True)]
    assert ssim_outside(x, y, half()).tolist() == pytest.approx(expected, rel=1e-5)


def test_each_item_may_have_its_own_mask():
    x, y = pictures(), pictures()
    masks = torch.cat([half(), 1 - half()])
    for value in OUTSIDE:
        each = [value(x[i : i + 1], y[i : i + 1], masks[i : i + 1]).item() for i in range(2)]
        assert value(x, y, masks).tolist() == pytest.approx(each)


def test_there_is_no_number_where_nothing_is_to_be_measured():
    x, y = pictures(), pictures()
    masks = torch.cat([torch.ones_like(half()), half()])
    for value in OUTSIDE:
        assert value(x, y, masks).isnan().tolist() == [True, False]
    clip = SimpleNamespace(score=lambda x, prompts: torch.ones(len(x)))
    assert clip_edited(y, 1 - masks, ["a", "b"], clip).isnan().tolist() == [True, False]


def test_clip_scores_are_of_the_edited_picture_whole_and_in_the_mask():
    clip, y, words = Clip.load(), pictures(2, 64, 64), ["a lion on a beach", "an owl at night"]
    assert clip_whole(y, words, clip).tolist() == pytest.approx(
        (100 * clip.score(y, words)).tolist()
    )
    # In [0, 1] the published way is a product with the mask.
    region = ((y + 1) / 2 * half(64, 64)) * 2 - 1
    expected = (100 * clip.images(region) * clip.texts(words)).sum(1)
    assert clip_edited(y, half(64, 64), words, clip).tolist() == pytest.approx(expected.tolist())
    assert not torch.allclose(clip_edited(y, half(64, 64), words, clip), clip_whole(y, words, clip))


def test_the_structure_distance_sees_whole_pictures_of_255_levels():
    asked = []

    def structure(x, y, peak):
        asked.append((x, y, peak))
        return torch.tensor([0.0125, 0.5])

    x, y = pictures(), pictures()
    assert structure_distance(x, y, structure).tolist() == pytest.approx([12.5, 500])
    assert asked[0][0] is x and asked[0][1] is y and asked[0][2] == 255


@pytest.fixture
def fake_lpips(monkeypatch):
    """An `lpips` whose distance is the mean absolute difference; the nets that were made."""
    made = []

    class LPIPS(torch.nn.Module):
        def __init__(self, net, verbose):
            super().__init__()
            made.append(net)

        def forward(self, x, y):
            assert x.abs().max() <= 1 and x.shape[-2:] == (20, 16)
            return (x - y).abs().mean((1, 2, 3), keepdim=True)

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=LPIPS))
    perceptual._model.cache_clear()
    yield made
    perceptual._model.cache_clear()


def test_lpips_is_squeezenets_of_pictures_black_inside_the_mask(fake_lpips):
    x = torch.zeros(1, 3, 20, 16)
    # 0.2 in half of the pixels
    assert lpips_outside(x, x + 0.2, half()).item() == pytest.approx(1e3 * 0.1)
    assert lpips_outside(x, x, torch.ones_like(half())).isnan().all()
    assert fake_lpips == ["squeeze"]


def test_lpips_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    perceptual._model.cache_clear()
    with pytest.raises(UserError, match=r"^lpips: .*i2i-dds\[lpips\]"):
        lpips_outside(pictures(), pictures(), half())
