import pytest
import torch

from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.random_weights import build_random_stable_diffusion


class Recording(GaussianMixtureTeacher):
    """The analytic teacher, keeping what it was asked and able to answer with broken numbers."""

    broken = ()

    def predict_noise(self, z_t, t, text):
        self.asked = z_t, t
        eps = super().predict_noise(z_t, t, text)
        for place, value in self.broken:
            eps[place] = value
        return eps


@pytest.fixture
def teacher():
    """Three components in float64; "0", "1", "2" are their prompts."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(3, 4, 3, 3, dtype=torch.float64, generator=generator)
    stds, weights = torch.tensor([[0.5, 0.5, 0.9], [0.2, 0.5, 0.3]], dtype=torch.float64)
    return Recording(means, stds, weights)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")
