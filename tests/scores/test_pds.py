"""PDS against the stochastic latents it is defined by, and against DDS."""

import pytest
import torch

from i2i_dds.diffusion.process import RectifiedFlow, VariancePreserving
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.pds import PDS
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

T = torch.tensor([50, 500, 948])


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape or (3, 4, 3, 3), dtype=torch.float64, generator=generator)


Z, Z_SRC, EPS = normal(1), normal(2), normal(3)


def asked(teacher, **others):
    known = {"z_tgt": Z, "z_src": Z_SRC, "t": T, "eps": EPS, "guidance_scale": 3.0}
    known |= {"text_tgt": teacher.embed(["0"]), "text_src": teacher.embed(["1"])}
    return ScoreInput(**{**known, **others})


@pytest.fixture(params=["epsilon", "flow"])
def exact(request, teacher):
    if request.param == "epsilon":
        return teacher
    return GaussianMixtureTeacher(teacher.means, teacher.stds, teacher.weights, RectifiedFlow())


def official(teacher, inputs, stride=2):
    """The gradient as pds/pds.py of the authors computes it, with its names."""
    alphas_cumprod = teacher.process.alphas_cumprod
    alphas = alphas_cumprod / torch.cat([alphas_cumprod.new_ones(1), alphas_cumprod[:-1]])
    betas, t, t_prev = 1 - alphas, inputs.t, inputs.t - stride
    column = (-1, 1, 1, 1)
    beta_t, alpha_t = betas[t].reshape(column), alphas[t].reshape(column)
    bar, bar_prev = (alphas_cumprod[u].reshape(column) for u in (t, t_prev))
    sigma_t = ((1 - bar_prev) / (1 - bar) * beta_t).sqrt()
    noise_t_prev, zts = normal(9), []
    for x0, text in ((inputs.z_tgt, inputs.text_tgt), (inputs.z_src, inputs.text_src)):
        xt = bar.sqrt() * x0 + (1 - bar).sqrt() * inputs.eps
        empty = teacher.predict_noise(xt, t, teacher.embed([""]).expand(3))
        eps = teacher.predict_noise(xt, t, text.expand(3))
        eps = empty + inputs.guidance_scale * (eps - empty)
        pred_x0 = (xt - (1 - bar).sqrt() * eps) / bar.sqrt()
        mu = bar_prev.sqrt() * beta_t / (1 - bar) * pred_x0
        mu = mu + alpha_t.sqrt() * (1 - bar_prev) / (1 - bar) * xt
        x_t_prev = bar_prev.sqrt() * x0 + (1 - bar_prev).sqrt() * noise_t_prev
        zts.append((x_t_prev - mu) / sigma_t)
    return zts[0] - zts[1]


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_pds_is_the_difference_of_stochastic_latents(teacher, stride):
    found = PDS(stride)(teacher, asked(teacher))
    expected = official(teacher, asked(teacher), stride)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    assert expected.abs().max() > 0.01


def test_pds_is_zero_where_the_stochastic_latents_are_equal(exact):
    text = exact.embed(["0", "1", "2"])
    same = asked(exact, z_src=Z.clone(), text_tgt=text, text_src=text.clone())
    assert torch.equal(PDS()(exact, same), torch.zeros_like(Z))
    assert PDS()(exact, asked(exact, z_src=Z.clone())).abs().max() > 1e-3


def test_pds_is_dds_and_an_identity_term_with_its_weights(exact):
    """Weights by hand, of the posterior of a step."""
    process = exact.process
    psi, chi = PDS(stride=3).weights(process, T, Z)
    for i, t in enumerate(T.tolist()):
        (a, s), (a_s, s_s), (a_1, s_1) = (
            (process.alpha_at(u), process.sigma_at(u)) for u in (t, t - 3, t - 1)
        )
        r = a / a_1
        b = s**2 - (r * s_1) ** 2
        deviation = s_s / s * b**0.5
        assert chi[i].item() == pytest.approx(a_s * b / (s * a * deviation), rel=1e-9)
        left = a_s - a_s * b / s**2 - r * s_s**2 / s**2 * a
        assert psi[i].item() == pytest.approx(left / deviation, rel=1e-6)
    inputs = asked(exact)
    expected = psi * (Z - Z_SRC) + chi * DDS()(exact, inputs)
    torch.testing.assert_close(PDS(3)(exact, inputs), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(PDS(3, scale=4.0)(exact, inputs), 4 * expected)


@pytest.mark.parametrize("process", [VariancePreserving.scaled_linear(), RectifiedFlow(shift=3)])
def test_a_step_of_one_timestep_has_no_identity_term(process):
    t = torch.arange(1, 1000)
    psi, chi = PDS(stride=1).weights(process, t, torch.zeros(999, 1, dtype=torch.float64))
    assert psi.abs().max() < 1e-9 and chi.min() > 1e-3


def test_a_longer_step_holds_the_source_more():
    process = VariancePreserving.scaled_linear()
    shares = []
    for stride in (1, 2, 4, 8):
        psi, chi = PDS(stride).weights(process, T, Z)
        shares.append(psi / chi)
    for less, more in zip(shares, shares[1:], strict=False):
        assert (more > less + 1e-6).all()


def test_the_first_timesteps_have_weights_too():
    process = VariancePreserving.scaled_linear()
    for stride in (1, 2, 5):
        weights = PDS(stride).weights(process, torch.arange(5), torch.zeros(5, 1))
        assert all(torch.isfinite(one).all() and (one >= -1e-6).all() for one in weights)
