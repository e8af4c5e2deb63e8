import math
from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.ddim import DDIMCoefficients
from i2i_dds.diffusion.process import CLEAN
from i2i_dds.research.theory.curves import Curve, recorded
from i2i_dds.research.theory.divergence import count, inner_edges, kl_from_counts
from i2i_dds.research.theory.laws import MATCHED, Mixture, Prior, data_law, mismatched
from i2i_dds.research.theory.particles import cycle_of_particles, sde_of_particles
from i2i_dds.research.theory.quadrature import ode, sde_limit, sde_on_a_line
from i2i_dds.research.theory.report import Sizes, study, summary
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

CENTER, STD = 0.7, 0.5
SCALE, OFFSET = 0.8, 0.6
EDITED = Prior("edited", ((1.0, SCALE, OFFSET),))
PRIORS = [*mismatched(shift=1.0, scale=0.6, paste=0.6), MATCHED]


def gaussian(dimension: int) -> GaussianMixtureTeacher:
    """One Gaussian at CENTRE along (1, ..., 1) / sqrt(D)."""
    means = torch.full((1, dimension, 1, 1), CENTER / math.sqrt(dimension), dtype=torch.float64)
    return GaussianMixtureTeacher(means, torch.tensor([STD]))


def moments(teacher, t):
    """Mean along the diagonal and variance of p_t."""
    abar = teacher.process.abar_at(t)
    return math.sqrt(abar) * CENTER, abar * STD**2 + 1 - abar


def kl_of_normals(mean, variance, mean_p, variance_p, dimension):
    ratio = variance / variance_p
    return 0.5 * (dimension * (ratio - 1 - math.log(ratio)) + (mean - mean_p) ** 2 / variance_p)


def slope(teacher, step):
    """The step's mean is linear for a Gaussian: eps = sigma (z - mean) / v."""
    _, variance = moments(teacher, step.t)
    return step.coef_z + step.coef_eps * math.sqrt(1 - teacher.process.abar_at(step.t)) / variance


def gaussian_curve(teacher, pairs, eta, dimension):
    """KL of EDITED by the recursion of its mean and variance."""
    mean_p, variance_p = moments(teacher, pairs[0][0])
    mean, variance = SCALE * mean_p + OFFSET, SCALE**2 * variance_p
    found = {pairs[0][0]: kl_of_normals(mean, variance, mean_p, variance_p, dimension)}
    for t, u in pairs:
        step = DDIMCoefficients.of(teacher.process, t, u, eta)
        gain = slope(teacher, step)
        mean = step.coef_z * mean_p + gain * (mean - mean_p)
        variance = gain**2 * variance + step.std**2
        mean_p, variance_p = moments(teacher, u)
        found[u] = kl_of_normals(mean, variance, mean_p, variance_p, dimension)
    return [found[t] for t in recorded(pairs)]


@pytest.mark.parametrize("dimension", [1, 2])
def test_density_is_the_one_whose_score_the_teacher_knows(dimension):
    teacher = data_law(dimension)
    z = torch.randn(9, dimension, dtype=torch.float64, requires_grad=True)
    (score,) = torch.autograd.grad(Mixture.of(teacher, 300).log_density(z).sum(), z)
    text = teacher.embed([""] * 9)
    eps = teacher.predict_noise(z.detach()[..., None, None], torch.full((9,), 300), text)
    sigma = math.sqrt(1 - teacher.process.abar_at(300))
    torch.testing.assert_close(eps.flatten(1), -sigma * score)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: prior.name)
def test_a_priors_law_is_that_of_the_moved_latents(prior):
    start = Mixture.of(data_law(2), 600)
    generator = torch.Generator().manual_seed(0)
    kind = torch.multinomial(start.weights, 50_000, replacement=True, generator=generator)
    noise = torch.randn(50_000, 2, generator=generator, dtype=torch.float64)
    x = start.means[kind] + start.variances[kind].sqrt()[:, None] * noise
    y = prior.move(x[..., None, None], generator).flatten(1)
    law = prior.law(start)
    edges = inner_edges(law)
    assert abs(kl_from_counts(count(y, edges), law.cells(edges))) < 2e-3


def test_cells_of_the_plane_follow_the_density_and_leave_nothing_out():
    law = Mixture.of(data_law(2), 200)
    edges = torch.linspace(-4, 4, 801, dtype=torch.float64)
    cells = law.cells(edges)
    assert cells.sum().item() == pytest.approx(1, abs=1e-12)
    z = torch.tensor([[0.505, -0.305]], dtype=torch.float64)  # the middle of a cell
    where = count(z, edges).argmax()
    assert cells[where].item() == pytest.approx(law.log_density(z).exp().item() * 1e-4, rel=1e-3)


@pytest.mark.parametrize("dimension", [1, 2])
def test_histogram_finds_the_divergence_of_two_normals(dimension):
    one = torch.ones(1, dtype=torch.float64)
    law = Mixture(torch.zeros(1, dimension, dtype=torch.float64), one, one)
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(100_000, dimension, generator=generator, dtype=torch.float64)
    edges, cells = inner_edges(law), law.cells(inner_edges(law))
    counts = count(z, edges)
    assert abs(kl_from_counts(counts, cells)) < 5e-4
    # KL(N(0.5, 0.64) || N(0, 1)) on every axis
    true = dimension * kl_of_normals(0.5, 0.64, 0, 1, 1)
    found = kl_from_counts(count(0.8 * z + 0.5, edges), cells)
    assert found == pytest.approx(true, rel=0.02)


def test_rarely_filled_cells_do_not_bias_the_histogram():
    n, cells = 5000, torch.full((1000,), 1e-3)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(cells, n, replacement=True, generator=generator)
    counts = torch.bincount(drawn, minlength=1000)
    assert (counts / n * (counts / n / cells).clamp(min=1e-9).log()).sum() > 0.09  # 1000 / 2N = 0.1
    assert abs(kl_from_counts(counts, cells)) < 0.01


@pytest.mark.parametrize("steps", [7, 60])
@pytest.mark.parametrize("dimension", [1, 2])
def test_ode_follows_the_recursion_of_a_gaussian(dimension, steps):
    teacher = gaussian(dimension)
    pairs = teacher.process.pairs(steps)
    (curve,) = ode(teacher, pairs, [EDITED])
    assert curve.t == tuple(recorded(pairs)) and curve.t[-1] == CLEAN
    assert curve.kl == pytest.approx(gaussian_curve(teacher, pairs, 0.0, dimension), abs=1e-9)


@pytest.mark.parametrize("steps", [7, 60])
def test_sde_on_a_line_follows_the_recursion_of_a_gaussian(steps):
    teacher = gaussian(1)
    pairs = teacher.process.pairs(steps)
    (curve,) = sde_on_a_line(teacher, pairs, [EDITED])
    assert curve.kl == pytest.approx(gaussian_curve(teacher, pairs, 1.0, 1), abs=1e-9)


def test_sde_of_particles_follows_the_recursion_of_a_gaussian():
    teacher = gaussian(2)
    pairs = teacher.process.pairs(20)
    (curve,) = sde_of_particles(teacher, pairs, [EDITED], 20_000, seed=0)
    assert curve.kl == pytest.approx(gaussian_curve(teacher, pairs, 1.0, 2), abs=0.012)


def test_cycle_of_particles_follows_the_covariance_of_a_gaussian():
    teacher = gaussian(1)
    pairs = teacher.process.pairs(20)
    (curve,) = cycle_of_particles(teacher, pairs, [EDITED], 40_000, seed=0)
    top, variance_top = moments(teacher, pairs[0][0])
    abar_top = teacher.process.abar_at(pairs[0][0])
    true, gain = [], 1.0
    # y - x = gain (y_T - x_T), and cov(x_u, x_T) = sqrt(a_T / a_u) v_u on the forward path
    for i, t in enumerate([pairs[0][0], *(u for _, u in pairs)]):
        if i:
            gain *= slope(teacher, DDIMCoefficients.of(teacher.process, *pairs[i - 1], 1.0))
        mean_p, variance_p = moments(teacher, t)
        mean = mean_p + gain * ((SCALE - 1) * top + OFFSET)
        covariance = math.sqrt(abar_top / teacher.process.abar_at(t)) * variance_p
        pull = gain * (SCALE - 1)
        variance = variance_p + pull**2 * variance_top + 2 * pull * covariance
        true.append(kl_of_normals(mean, variance, mean_p, variance_p, 1))
    assert curve.kl == pytest.approx(true, abs=0.006)


def test_ode_keeps_every_mismatch():
    teacher = data_law(1)
    *mismatches, control = ode(teacher, teacher.process.pairs(500), PRIORS)
    assert all(curve.relative_drift < 0.02 and curve.kl[0] > 0.1 for curve in mismatches)
    assert max(map(abs, control.kl)) < 3e-4


def test_sde_forgets_every_mismatch_as_fast_as_the_theorem_says():
    teacher = data_law(1)
    pairs = teacher.process.pairs(120)
    *curves, control = sde_on_a_line(teacher, pairs, PRIORS)
    limits = sde_limit(teacher, pairs, PRIORS[:-1])
    for curve, limit in zip(curves, limits, strict=True):
        assert curve.kl == pytest.approx(limit.kl, abs=4e-3)
        assert curve.ratio < 0.05
        assert all(b < a for a, b in zip(limit.kl, limit.kl[1:], strict=False))
    assert max(map(abs, control.kl)) < 3e-3


def test_particles_and_quadrature_agree_on_the_sde():
    teacher = data_law(1)
    pairs = teacher.process.pairs(15)
    exact = sde_on_a_line(teacher, pairs, PRIORS[:1])[0]
    found = sde_of_particles(teacher, pairs, PRIORS[:1], 20_000, seed=3)[0]
    assert found.kl == pytest.approx(exact.kl, abs=0.015)


def test_the_control_of_cycle_sde_leaves_its_source_and_keeps_its_law(monkeypatch):
    teacher = data_law(1)
    pairs = teacher.process.pairs(50)
    (control,) = cycle_of_particles(teacher, pairs, [MATCHED], 20_000, seed=0)
    assert max(map(abs, control.kl)) < 5e-3
    seen = []
    monkeypatch.setattr(
        "i2i_dds.research.theory.particles.cycle",
        lambda _, y, path, *a, **k: seen.append((y, path[0])) or iter(()),
    )
    with pytest.raises(KeyError):  # nothing was carried down
        cycle_of_particles(teacher, pairs, [MATCHED], 10, seed=0)
    assert not torch.isclose(*seen[0]).any()


def test_particles_depend_on_the_seed_alone():
    teacher = data_law(2)
    pairs = teacher.process.pairs(3)
    for sampler in (sde_of_particles, cycle_of_particles):
        first, again, other = (sampler(teacher, pairs, PRIORS[:1], 50, seed=s) for s in (1, 1, 2))
        assert first == again != other


def test_summary_names_what_was_asked_for():
    sizes, ticks = Sizes(steps=4, particle_steps=3, samples=60), []
    curves = study(PRIORS[:-1], sizes, 0, lambda: ticks.append(1))
    assert len(ticks) == sizes.ticks
    found = summary(curves)
    for dimension in ("1d", "2d"):
        assert set(found["priors"][dimension]) == {"shift", "scale", "paste"}
        assert set(found["control"][dimension]) == {"kl_ode_max", "kl_sde_max", "kl_cycle_sde_max"}
        for numbers in found["priors"][dimension].values():
            asked = {"kl_ode_relative_drift", "kl_sde_ratio", "kl_cycle_sde_ratio"}
            assert asked <= set(numbers)


def test_drift_is_the_worst_of_the_way_and_ratio_its_end():
    curve = Curve(1, "shift", "ode", (9, 5, CLEAN), (2.0, 1.5, 1.9))
    assert curve.relative_drift == 0.25 and curve.ratio == 0.95
    assert replace(curve, kl=(2.0, 2.6, 1.9)).relative_drift == pytest.approx(0.3)
