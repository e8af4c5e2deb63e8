"""Samplers of a rectified flow against the exact answers of Gaussian mixtures."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from i2i_dds.diffusion.ddim import DDIMCoefficients
from i2i_dds.diffusion.process import CLEAN, RectifiedFlow
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.editing.path_delta import PathDelta
from i2i_dds.editing.sde import cycle, denoise, forward_path, invert
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

TOTAL = 8192
FLOW = RectifiedFlow(TOTAL - 1)  # s_t = (t + 1) / 8192
"""An even grid of times, of which powers of two can be left out."""

CENTERS = torch.tensor([-1.0, 2.0], dtype=torch.float64)
SPREADS = torch.tensor([0.3, 0.5], dtype=torch.float64)
SHARES = torch.tensor([0.3, 0.7], dtype=torch.float64)
"""A mixture on the line; "0" and "1" are its components."""


@pytest.fixture
def line() -> GaussianMixtureTeacher:
    return GaussianMixtureTeacher(CENTERS.reshape(2, 1, 1, 1), SPREADS, SHARES, process=FLOW)


def law(s: float) -> MixtureSameFamily:
    """Of x_t at flow time s."""
    spread = ((1 - s) ** 2 * SPREADS**2 + s**2).sqrt()
    return MixtureSameFamily(Categorical(SHARES), Normal((1 - s) * CENTERS, spread))


def grid(steps: int, start: float = 0.75) -> list[tuple[int, int]]:
    """Steps of one length from a flow time down to the clean latent."""
    times = [round(TOTAL * start) * k // steps - 1 for k in range(steps, 0, -1)]
    return list(zip(times, [*times[1:], CLEAN], strict=True))


def quantile(target: MixtureSameFamily, share: Tensor) -> Tensor:
    """Where the distribution function has these values, by bisection."""
    low, high = (torch.full_like(share, end) for end in (-20.0, 20.0))
    for _ in range(80):
        middle = (low + high) / 2
        below = target.cdf(middle) < share
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def orders(error: Callable[[int], float], steps: list[int]) -> list[float]:
    """Orders of convergence between runs of twice as many steps."""
    errors = torch.tensor([error(count) for count in steps])
    return (errors[:-1] / errors[1:]).log2().tolist()


def test_the_sdes_diffusion_preserves_the_marginals():
    """The SDE of a flow has ``g^2 = 2 s / (1 - s)`` and the drift ``-x / (1 - s)``.

    So ``dx = [-x / (1 - s) - g^2 score] ds`` backwards, with score = -eps / s: a step of length h
    has the mean ``(1 + h / (1 - s)) x - 2 h / (1 - s) eps`` and the variance ``g^2 h``.
    """
    for t in (1000, 4000, 7000):
        s, h = (t + 1) / TOTAL, 1 / TOTAL
        ode, sde = (DDIMCoefficients.of(FLOW, t, t - 1, eta) for eta in (0.0, 1.0))
        assert sde.coef_z == pytest.approx(1 + h / (1 - s), rel=1e-12)
        assert ode.coef_eps == pytest.approx(-h / (1 - s), rel=1e-9)
        near = 4 * h / min(s, 1 - s)
        assert sde.coef_eps == pytest.approx(-2 * h / (1 - s), rel=near)
        assert sde.std**2 == pytest.approx(2 * s / (1 - s) * h, rel=near)


def test_the_ode_is_the_monotone_map_with_first_order(line):
    """On a line the flow of the ODE keeps every quantile."""
    x = torch.linspace(-1.5, 2.5, 41, dtype=torch.float64)
    exact = quantile(law(0.0), law(0.75).cdf(x))

    def error(steps: int) -> float:
        y, text = x.reshape(-1, 1, 1, 1), line.embed([""])
        *_, last = denoise(line, y, text, grid(steps), 1.0, 0.0, ())
        return (last.y.flatten() - exact).abs().mean().item()

    assert all(0.9 < order < 1.1 for order in orders(error, [64, 128, 256, 512]))
    assert error(512) < 0.01


def test_inversion_goes_the_same_way_up_with_first_order(line):
    z = torch.linspace(-1.5, 3.0, 41, dtype=torch.float64)
    exact = quantile(law(0.75), law(0.0).cdf(z))

    def error(steps: int) -> float:
        found = invert(line, z.reshape(-1, 1, 1, 1), line.embed([""]), grid(steps))[0]
        return (found.flatten() - exact).abs().mean().item()

    assert all(0.8 < order < 1.2 for order in orders(error, [64, 128, 256, 512]))
    assert error(512) < 0.01


def drawn(count: int, kinds: list[int], s: float = 0.0) -> Tensor:
    """Draws of the mixture at flow time s, (count, 1, 1, 1); ``kinds`` are its components."""
    chance = torch.Generator().manual_seed(5)
    picked = torch.tensor(kinds)[torch.multinomial(SHARES[kinds], count, True, generator=chance)]
    noise, eps = torch.randn(2, count, dtype=torch.float64, generator=chance)
    z = CENTERS[picked] + SPREADS[picked] * noise
    return ((1 - s) * z + s * eps).reshape(-1, 1, 1, 1)


def assert_is_the_mixture(z: Tensor) -> None:
    """Mean, variance and the right component's share, each within 3 standard errors and 0.02.

    0.02 is for the length of the steps.
    """
    z, count, exact = z.flatten(), z.numel(), law(0.0)
    fourth = ((z - z.mean()) ** 4).mean()
    variance, right = exact.variance, 1 - exact.cdf(torch.tensor(0.4, dtype=torch.float64))
    share = (z > 0.4).double().mean()
    assert (z.mean() - exact.mean).abs() < 3 * (variance / count) ** 0.5 + 0.02
    assert (z.var() - variance).abs() < 3 * ((fourth - variance**2) / count) ** 0.5 + 0.02
    assert (share - right).abs() < 3 * (right * (1 - right) / count) ** 0.5 + 0.02


def test_the_sde_and_the_ode_draw_the_mixture(line):
    count = 1000
    y, text = drawn(count, [0, 1], s=0.75), line.embed([""])
    generators = item_generators(0, range(count))
    for eta in (0.0, 1.0):
        *_, last = denoise(line, y, text, grid(64), 1.0, eta, generators)
        assert_is_the_mixture(last.y)
    *_, alone = denoise(line, torch.zeros_like(y), text, grid(64), 1.0, 0.0, ())
    with pytest.raises(AssertionError):
        assert_is_the_mixture(alone.y)  # begun off the marginal, at one place


def test_cycle_takes_one_component_to_the_mixture(line):
    """The recorded noise is fresh noise to the other side, which so has the law of the SDE."""
    count, pairs = 1000, grid(63, start=63 / 64)
    z = drawn(count, [1])
    path = forward_path(FLOW, z, pairs, item_generators(0, range(count)))
    texts = line.embed(["1"]), line.embed([""])
    *_, last = cycle(line, path[0], path, *texts, pairs, 1.0)
    assert_is_the_mixture(last.y)
    with pytest.raises(AssertionError):
        assert_is_the_mixture(z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_cycle_without_an_edit_returns_the_source_to_the_bit(line, dtype, eta):
    z, pairs = drawn(50, [0, 1]).to(dtype), grid(32)
    path = forward_path(FLOW, z, pairs, item_generators(0, range(50)))
    text = line.embed([""])
    for step, x in zip(
        cycle(line, path[0], path, text, text, pairs, 3.0, eta), path[1:], strict=True
    ):
        assert torch.equal(step.y, x)


STD = 0.6
SHIFT = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64).reshape(1, 4, 1, 1)
"""Two Gaussians of one spread, of which the second lies so far off."""


def sampled(s: float, eta: float) -> float:
    """How much of the shift a delta sampler makes from flow time s on, in infinitely short steps.

    With d = y - x both sides' predictions differ by ``s (d - (1 - s) shift) / v``, whatever the
    noise, where v = (1 - s)^2 STD^2 + s^2. So ``d - (1 - s) shift`` shrinks as the sampler's own
    deviation does: by sqrt(v_0 / v) in the ODE, and as the mean of x_0 given x_t in the SDE.
    """
    v = (1 - s) ** 2 * STD**2 + s**2
    return 1 - (1 - s) * (STD / v**0.5 if eta == 0 else (1 - s) * STD**2 / v)


def shifted(s: float, shift: float) -> float:
    """The same of DRFS, ``de/ds = (delta - shift e) / (1 - s)``, by fourth order Runge-Kutta."""

    def slope(s: float, e: float) -> float:
        v = (1 - s) ** 2 * STD**2 + s**2
        delta = s * ((1 - s + shift * s) * e - (1 - s)) / v
        return (delta - shift * e) / (1 - s)

    e, count = 0.0, 2000
    h = -s / count
    for _ in range(count):
        a = slope(s, e)
        b = slope(s + h / 2, e + h / 2 * a)
        c = slope(s + h / 2, e + h / 2 * b)
        d = slope(s + h, e + h * c)
        s, e = s + h, e + h / 6 * (a + 2 * b + 2 * c + d)
    return e


def miss(settings: dict, exact: Callable[[float], float], steps: int) -> float:
    """The largest difference from the exact answer, of two pictures under noise of their own."""
    means = torch.cat([torch.zeros_like(SHIFT), SHIFT])
    spreads = torch.full((2,), STD, dtype=torch.float64)
    teacher = GaussianMixtureTeacher(means, spreads, process=FLOW)
    z = STD * randn(item_generators(1, range(2)), (4, 1, 1), torch.float64)
    texts, chance = (teacher.embed(["0"]), teacher.embed(["1"])), item_generators(0, range(2))
    editor = PathDelta(steps=steps, strength=0.75, guidance_scale=1.0, guidance_scale_src=None)
    moved = finish(replace(editor, **settings)(teacher, EditBatch(z, *texts, chance))).z - z
    start = FLOW.sigma_at(FLOW.pairs(steps, 0.75)[0][0])
    return (moved - exact(start) * SHIFT).abs().max().item()


@pytest.mark.parametrize(
    ("settings", "exact"),
    [
        ({}, partial(sampled, eta=0.0)),
        ({"noise": "path"}, partial(sampled, eta=0.0)),
        ({"shift": 0.0}, partial(shifted, shift=0.0)),
        ({"shift": 0.5, "ramp": False}, partial(shifted, shift=0.5)),
        ({"shift": 1.0, "ramp": False}, partial(shifted, shift=1.0)),
    ],
    ids=["flowedit", "flowedit beside a path", "dds", "drfs", "drfs as flowedit"],
)
def test_between_two_gaussians_the_ode_converges_with_first_order(settings, exact):
    found = orders(lambda steps: miss(settings, exact, steps), [64, 128, 256])
    assert all(0.85 < order < 1.15 for order in found)
    assert miss(settings, exact, 256) < 0.01


@pytest.mark.parametrize("noise", ["fresh", "path"])
@pytest.mark.parametrize("steps", [8, 64])
def test_between_two_gaussians_the_sde_is_exact_in_any_number_of_steps(noise, steps):
    """A step's mean is E[x_prev | x_t], which is linear, and such steps compose."""
    settings = {"noise": noise, "eta": 1.0}
    assert miss(settings, partial(sampled, eta=1.0), steps) < 1e-12


def test_the_exact_answers_agree_where_the_methods_do():
    """DRFS at a shift of 1 is FlowEdit."""
    for s in (0.3, 0.75, 0.95):
        assert shifted(s, 1.0) == pytest.approx(sampled(s, 0.0), abs=1e-9)
        assert shifted(s, 0.0) < sampled(s, 0.0) < sampled(s, 1.0) < 1
