import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from i2i_dds.errors import UserError
from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.interface import Teacher

MEANS = torch.randn(3, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
STDS = torch.tensor([0.3, 0.7, 1.1], dtype=torch.float64)
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


@pytest.fixture
def teacher():
    return GaussianMixtureTeacher(MEANS, STDS, WEIGHTS)


def noise_by_autograd(teacher, z_t, t, kept):
    """-sigma grad log p_t(z_t), from torch's own densities."""
    abar = teacher.process.alphas_cumprod[t]
    variance = abar * STDS[kept] ** 2 + 1 - abar
    normals = Normal(abar.sqrt() * MEANS[kept], variance.sqrt().reshape(-1, 1, 1, 1))
    mixture = MixtureSameFamily(Categorical(WEIGHTS[kept]), Independent(normals, 3))
    z_t = z_t.clone().requires_grad_()
    (score,) = torch.autograd.grad(mixture.log_prob(z_t).sum(), z_t)
    return -((1 - abar).sqrt()) * score


@pytest.mark.parametrize(("prompt", "kept"), [("", [0, 1, 2]), ("1", [1]), ("0, 2", [0, 2])])
@pytest.mark.parametrize("t", [0, 50, 500, 999])
def test_noise_is_minus_sigma_times_the_score(teacher, prompt, kept, t):
    z_t = torch.randn(5, 2, 2, 2, dtype=torch.float64)
    found = teacher.predict_noise(z_t, torch.full((5,), t), teacher.embed([prompt] * 5))
    torch.testing.assert_close(found, noise_by_autograd(teacher, z_t, t, kept))


def test_each_item_has_its_timestep_and_prompt(teacher):
    z_t, t, prompts = torch.randn(3, 2, 2, 2, dtype=torch.float64), [5, 400, 900], ["0", "", "1,2"]
    together = teacher.predict_noise(z_t, torch.tensor(t), teacher.embed(prompts))
    for i in range(3):
        alone = teacher.predict_noise(
            z_t[i : i + 1], torch.tensor(t[i : i + 1]), teacher.embed(prompts[i : i + 1])
        )
        torch.testing.assert_close(together[i : i + 1], alone)


def test_far_from_every_component_the_noise_stays_finite(teacher):
    z_t = torch.full((1, 2, 2, 2), 1e4, dtype=torch.float64)
    noise = teacher.predict_noise(z_t, torch.tensor([0]), teacher.embed([""]))
    assert torch.isfinite(noise).all()


def test_it_is_a_teacher_and_counts_rows(teacher):
    assert isinstance(teacher, Teacher)
    z = torch.randn(4, 2, 2, 2, dtype=torch.float64)
    teacher.predict_noise(z, torch.full((4,), 10), teacher.embed([""] * 4))
    assert teacher.nfe == 4
    assert torch.equal(teacher.decode(teacher.encode(z)), z)


@pytest.mark.parametrize("prompt", ["3", "cat", "0,", "-1"])
def test_a_prompt_that_names_no_component_is_refused(teacher, prompt):
    with pytest.raises(UserError, match="numbers from 0 to 2"):
        teacher.embed([prompt])
