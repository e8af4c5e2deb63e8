"""PIE-Bench's metrics are its measures, in the order of its tables."""

import sys
from types import SimpleNamespace

import pytest
import torch

from i2i_dds.evaluation.metric import Measured, Networks, measure
from i2i_dds.evaluation.piebench import PIE_METRICS
from i2i_dds.metrics import perceptual
from i2i_dds.metrics import piebench as pie


@pytest.fixture
def fake_lpips(monkeypatch):
    """An `lpips` whose distance is the mean absolute difference."""

    class LPIPS(torch.nn.Module):
        def __init__(self, net, verbose):
            super().__init__()

        def forward(self, x, y):
            return (x - y).abs().mean((1, 2, 3), keepdim=True)

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=LPIPS))
    perceptual._model.cache_clear()
    yield
    perceptual._model.cache_clear()


def test_each_metric_is_its_published_measure(fake_lpips):
    clip = SimpleNamespace(score=lambda x, prompts: x.mean((1, 2, 3)))

    def structure(x, y, peak):
        return (x - y).square().mean((1, 2, 3))

    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(2, 3, 20, 16, generator=generator) * 2 - 1 for _ in range(2))
    mask, words = torch.zeros(2, 1, 20, 16), ["a", "b"]
    mask[:, :, :10] = 1
    networks = Networks(clip, perceptual.lpips_distance, structure)
    measured = Measured(x, y, mask=mask, prompts=words, networks=networks)
    columns = {
        "structure_distance": pie.structure_distance(x, y, structure),
        "psnr": pie.psnr_outside(x, y, mask),
        "lpips": pie.lpips_outside(x, y, mask),
        "mse": pie.mse_outside(x, y, mask),
        "ssim": pie.ssim_outside(x, y, mask),
        "clip_whole": pie.clip_whole(y, words, clip),
        "clip_edited": pie.clip_edited(y, mask, words, clip),
    }
    found = measure(PIE_METRICS.values(), measured)
    assert [list(row) for row in found] == [list(columns)] * 2
    for i, row in enumerate(found):
        assert row == {name: values[i].item() for name, values in columns.items()}


def test_networks_that_are_not_there_leave_their_columns_empty():
    x = torch.zeros(1, 3, 20, 16)
    measured = Measured(x, x, mask=torch.zeros(1, 1, 20, 16))
    for name in ("structure_distance", "lpips"):
        assert PIE_METRICS[name].function(measured).isnan().all()
