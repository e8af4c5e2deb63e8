import math

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.image import peak_signal_noise_ratio

from i2i_dds.metrics.image import collapse, psnr, sharpness


def pictures(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, 8, 10) * 2 - 1


def test_psnr_of_each_item_is_torchmetrics() -> None:
    x, y = pictures(), pictures()
    expected = [peak_signal_noise_ratio(a, b, data_range=2.0) for a, b in zip(x, y, strict=True)]
    torch.testing.assert_close(psnr(x, y).float(), torch.stack(expected))


def test_psnr_by_hand() -> None:
    x = torch.zeros(1, 3, 4, 4)
    # off by 0.2 of a range of 2: 20 log10(2 / 0.2) = 20 dB
    assert psnr(x, x + 0.2).item() == pytest.approx(20)


def test_psnr_of_identical_pictures_is_finite() -> None:
    assert psnr(pictures(), pictures()).isfinite().all()
    x = pictures()
    assert psnr(x, x).tolist() == [pytest.approx(10 * math.log10(4e10))] * 3


def test_psnr_counts_only_pixels_of_the_mask() -> None:
    x = pictures(2)
    y = x.clone()
    y[:, :, :, :5] += 1.0
    y[:, :, :, 5:] += 0.2
    mask = torch.zeros(1, 1, 8, 10)
    mask[..., 5:] = 0.1
    assert psnr(x, y, mask).tolist() == pytest.approx([20, 20], abs=1e-4)
    each = torch.cat([mask, 1 - mask.ceil()])
    assert psnr(x, y, each).tolist() == pytest.approx([20, 20 * math.log10(2)], abs=1e-4)


def test_psnr_without_pixels_is_nan() -> None:
    x = pictures(2)
    assert psnr(x, x, torch.zeros(1, 1, 8, 10)).isnan().all()


def test_sharpness_of_a_ramp_is_its_slope() -> None:
    ramp = torch.arange(8) / 10.0  # luminance rises by 0.1 a pixel
    across = (ramp * 2 - 1).expand(1, 3, 8, 8)
    assert sharpness(across).item() == pytest.approx(0.1)
    assert sharpness(across.mT).item() == pytest.approx(0.1)
    diagonal = (ramp + ramp[:, None]).expand(1, 3, 8, 8) * 2 - 1
    assert sharpness(diagonal).item() == pytest.approx(0.1 * math.sqrt(2))


def test_sharpness_falls_with_blur_and_is_zero_when_flat() -> None:
    x = pictures(4)
    assert (sharpness(F.avg_pool2d(x, 3, 1, 1)) < sharpness(x)).all()
    assert sharpness(torch.full((1, 3, 4, 4), 0.3)).item() == 0


def test_collapse_is_zero_for_the_truth_and_one_for_copies() -> None:
    truth = pictures(30)
    assert collapse(truth, truth) == 0
    assert collapse(truth[:1].expand_as(truth), truth) == 1
    two_answers = truth[:2].repeat(15, 1, 1, 1)
    assert collapse(two_answers, truth) == 1


def test_collapse_between() -> None:
    truth = pictures(5)
    mean = truth.mean(0, keepdim=True)
    assert collapse(mean + 0.25 * (truth - mean), truth) == pytest.approx(0.75, abs=1e-6)
    assert collapse(mean + 4 * (truth - mean), truth) == 0


def test_collapse_of_too_few_is_nan() -> None:
    assert math.isnan(collapse(pictures(1), pictures(1)))
    assert math.isnan(collapse(pictures(2), torch.zeros(2, 3, 8, 10)))
