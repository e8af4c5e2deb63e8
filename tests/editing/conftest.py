import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.interface import EditBatch
from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


@pytest.fixture
def analytic():
    """Three components in float64; "0", "1", "2" are their prompts."""
    means = torch.randn(3, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return GaussianMixtureTeacher(means, torch.tensor([0.5, 0.5, 0.9]))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd") / "tiny"
    return StableDiffusionTeacher.load(
        str(build_random_stable_diffusion(folder, "tiny")), device="cpu"
    )


@pytest.fixture
def batch_of():
    """A function making a batch of random source latents for a teacher."""

    def make(teacher, source, target, n=2, side=3, mask=None, dtype=None):
        z = randn(item_generators(1, range(n)), (4, side, side), dtype or teacher.dtype)
        text_src, text_tgt = teacher.embed([source]), teacher.embed([target])
        return EditBatch(z, text_src, text_tgt, item_generators(0, range(n)), mask)

    return make
