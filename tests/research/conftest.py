import pytest
import torch

from i2i_dds.evaluation.measure import EditRow
from i2i_dds.research.eval_batch import EvalBatch
from i2i_dds.teacher.analytic import GaussianMixtureTeacher


class Meter:
    """Stands for an evaluator: an edit's sharpness is its mean size, its success its sign."""

    def __init__(self, teacher):
        self.teacher = teacher

    def __call__(self, batch, x):
        return [
            EditRow(
                key,
                "task",
                {
                    "success": float(one.mean() > 0),
                    "psnr_truth": 7.0,
                    "psnr_truth_gain": 2.0,
                    "psnr_backdrop": float("nan"),
                    "sharpness": one.abs().mean().item(),
                },
            )
            for key, one in zip(batch["key"], x, strict=True)
        ]


@pytest.fixture
def analytic():
    """Three components in float64; "0", "1", "2" are their prompts."""
    means = torch.randn(3, 4, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return GaussianMixtureTeacher(means, torch.tensor([0.5, 0.5, 0.9]))


@pytest.fixture
def make_data(analytic):
    """A function making a Held of latents, from prompts to prompts."""

    def make(source=("0", "1"), target=("2", "2"), z=None, z_truth=None):
        generator = torch.Generator().manual_seed(1)
        shape = (len(source), 4, 3, 4)
        z = torch.randn(shape, dtype=torch.float64, generator=generator) if z is None else z
        batch = {"key": ["a", "b"], "source": list(source), "target": list(target)}
        return EvalBatch(Meter(analytic), batch, z, z if z_truth is None else z_truth, 0)

    return make
