from copy import deepcopy

import diffusers
import pytest
import torch

from i2i_dds.diffusion.ddim import DDIMCoefficients, forward_step
from i2i_dds.diffusion.guidance import classifier_free_guidance
from i2i_dds.diffusion.process import CLEAN, VariancePreserving
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.latent_optimization import edit
from i2i_dds.editing.sde import blend, cycle, denoise, forward_path, invert, source_predictions
from i2i_dds.scores.dds import DDS
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

SD = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 1,
}
SCHEDULE = VariancePreserving.scaled_linear()


def double(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def last(steps):
    return list(steps)[-1].y


def test_the_numbers_of_a_stride_by_hand():
    process = VariancePreserving(torch.tensor([0.9, 0.5], dtype=torch.float64))
    ode, sde = (DDIMCoefficients.of(process, 1, 0, eta) for eta in (0.0, 1.0))
    # sg^2 = (0.1 / 0.5) (1 - 0.5 / 0.9) = 4/45
    assert sde.std**2 == pytest.approx(4 / 45, abs=1e-15)
    assert ode.std == 0
    assert ode.coef_z == sde.coef_z == pytest.approx(1.8**0.5, abs=1e-15)
    assert ode.coef_eps == pytest.approx(0.1**0.5 - 0.9**0.5, abs=1e-15)
    assert sde.coef_eps == pytest.approx((0.1 - 4 / 45) ** 0.5 - 0.9**0.5, abs=1e-15)
    end = DDIMCoefficients.of(process, 0, CLEAN, 1.0)
    assert end.std == 0
    assert end.coef_eps == pytest.approx(-((0.1 / 0.9) ** 0.5), abs=1e-15)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("steps", [10, 50])
def test_a_run_agrees_with_diffusers_ddim(analytic, eta, steps):
    theirs = diffusers.DDIMScheduler(**SD)
    theirs.set_timesteps(steps)
    z = double(2, 4, 3, 3)
    text = analytic.embed(["1"])
    ours = denoise(
        *(analytic, z, text, SCHEDULE.pairs(steps), 3.0, eta),
        generators=item_generators(0, range(2)),
    )
    generators = item_generators(0, range(2))
    for t, done in zip(theirs.timesteps, ours, strict=True):
        times = t.repeat(2)
        uncond = analytic.predict_noise(z, times, analytic.embed([""]).expand(2))
        cond = analytic.predict_noise(z, times, text.expand(2))
        noise = randn(generators, (4, 3, 3), torch.float64) if eta else None
        eps = classifier_free_guidance(uncond, cond, 3.0)
        z = theirs.step(eps, t, z, eta=eta, variance_noise=noise).prev_sample
        # diffusers keeps its table in float32
        torch.testing.assert_close(done.y, z, atol=2e-5, rtol=2e-5)
    assert done.coefficients.t_prev == CLEAN


def test_inversion_agrees_with_diffusers(analytic):
    theirs = diffusers.DDIMInverseScheduler(**SD)
    theirs.set_timesteps(20)
    z = double(2, 4, 3, 3)
    text = analytic.embed(["2"])
    path = invert(analytic, z, text, SCHEDULE.pairs(20))
    assert len(path) == 21 and path[-1] is z
    for x, t in zip(reversed(path[:-1]), theirs.timesteps, strict=True):
        eps = analytic.predict_noise(z, t.repeat(2), text.expand(2))
        z = theirs.step(eps, t, z).prev_sample
        torch.testing.assert_close(x, z, atol=2e-4, rtol=2e-4)


def test_inversion_and_the_ode_come_back_the_closer_the_more_steps(analytic):
    z, text = double(2, 4, 3, 3), analytic.embed(["2"])
    errors = []
    for steps in (20, 200):
        pairs = SCHEDULE.pairs(steps)
        path = invert(analytic, z, text, pairs)
        back = last(denoise(analytic, path[0], text, pairs, 1.0, 0.0, ()))
        errors.append((back - z).abs().max().item())
    assert errors[1] < 0.3 * errors[0] < 0.3


def test_the_forward_path_has_the_noise_that_add_noise_would_give():
    pairs = SCHEDULE.pairs(20)
    z = torch.full((1, 1, 200, 200), 0.7, dtype=torch.float64)
    path = forward_path(SCHEDULE, z, pairs, item_generators(0, range(1)))
    assert len(path) == 21 and path[-1] is z
    for x, (t, _) in zip(path, pairs, strict=False):
        a = SCHEDULE.abar_at(t)
        assert x.mean().item() == pytest.approx(0.7 * a**0.5, abs=0.02)
        assert x.var().item() == pytest.approx(1 - a, rel=0.03)
    step = forward_step(SCHEDULE, z, *pairs[0], torch.zeros_like(z))
    ratio = SCHEDULE.abar_at(pairs[0][0]) / SCHEDULE.abar_at(pairs[0][1])
    torch.testing.assert_close(step, ratio**0.5 * z)


@pytest.mark.parametrize("eta", [0.4, 1.0])
def test_the_delta_is_the_papers_solved_noise(analytic, eta):
    """Eqs. 6 to 8: solve for the noise that reproduces x, reuse it for y."""
    pairs = SCHEDULE.pairs(10, 0.7)
    z, offset = double(2, 4, 3, 3), double(2, 4, 3, 3, seed=1)
    path = forward_path(SCHEDULE, z, pairs, item_generators(0, range(2)))
    text_src, text_tgt = analytic.embed(["0"]), analytic.embed(["1"])
    y = path[0] + offset
    ours = cycle(analytic, y, path, text_src, text_tgt, pairs, 2.0, eta)
    for i, ((t, u), done) in enumerate(zip(pairs[:-1], ours, strict=False)):
        means = []
        for z_t, text in ((path[i], text_src), (y, text_tgt)):
            times = torch.tensor([t, t])
            uncond = analytic.predict_noise(z_t, times, analytic.embed([""]).expand(2))
            cond = analytic.predict_noise(z_t, times, text.expand(2))
            eps = uncond + 2.0 * (cond - uncond)
            a_t, a_u = SCHEDULE.abar_at(t), SCHEDULE.abar_at(u)
            sg = eta * ((1 - a_u) / (1 - a_t) * (1 - a_t / a_u)) ** 0.5
            z0 = (z_t - (1 - a_t) ** 0.5 * eps) / a_t**0.5
            means.append(a_u**0.5 * z0 + (1 - a_u - sg**2) ** 0.5 * eps)
        noise = (path[i + 1] - means[0]) / sg
        y = means[1] + sg * noise
        torch.testing.assert_close(done.y, y, atol=1e-9, rtol=0)
    assert i == len(pairs) - 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 7.5])
def test_nothing_edited_comes_back_bit_for_bit(tiny, dtype, guidance_scale):
    parts = {name: deepcopy(getattr(tiny, name)) for name in ("vae", "text_encoder", "unet")}
    tiny = StableDiffusionTeacher(
        **parts, tokenizer=tiny.tokenizer, process=tiny.process, device="cpu", dtype=dtype
    )
    pairs = SCHEDULE.pairs(4)
    z = double(3, 4, 4, 4).to(dtype)
    text = tiny.embed(["a cat", "a dog", ""])
    path = forward_path(SCHEDULE, z, pairs, item_generators(0, range(3)))
    for i, done in enumerate(cycle(tiny, path[0], path, text, text, pairs, guidance_scale)):
        assert torch.equal(done.y, path[i + 1])
    assert i == 3 and torch.equal(done.y, z)
    edited = last(cycle(tiny, path[0], path, text, tiny.embed(["a lion"]), pairs, 7.5))
    assert not torch.equal(edited, z)


def test_source_predictions_in_batches_are_those_one_at_a_time(tiny):
    pairs = SCHEDULE.pairs(7)
    z, text, other = double(2, 4, 4, 4).float(), tiny.embed(["a cat"]), tiny.embed(["a lion"])
    path = forward_path(SCHEDULE, z, pairs, item_generators(0, range(2)))

    def scale(t):
        return 1 + t / 300

    together = source_predictions(tiny, path, text, pairs, scale, rows=6)
    alone = source_predictions(tiny, path, text, pairs, scale, rows=1)
    assert len(together) == 7
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    beside = last(cycle(tiny, path[0], path, text, other, pairs, scale))
    before = tiny.nfe
    after = last(cycle(tiny, path[0], path, text, other, pairs, scale, eps_src=together))
    assert tiny.nfe - before == 7 * 2 * 2  # y alone, with and without the prompt
    torch.testing.assert_close(after, beside, atol=1e-4, rtol=0)
    same = last(cycle(tiny, path[0], path, text, text, pairs, scale, eps_src=together))
    torch.testing.assert_close(same, z, atol=1e-5, rtol=0)


def test_dds_from_high_t_to_low_with_gamma_is_edit_friendly_inversion(analytic):
    """TurboEdit's appendix: w(t) = (1 - a) / (sqrt(abar_t) sqrt(1 - abar_t)), a = abar_t / abar_u.

    Descent on DDS then walks as edit-friendly DDPM inversion does (Huberman-Spiegelglas et al.,
    2024), whose x_t are noised independently of one another and whose noise maps reproduce x.
    """
    pairs = SCHEDULE.pairs(12, 0.8)
    after = dict(pairs)
    z, text_src, text_tgt = double(2, 4, 3, 3), analytic.embed(["0"]), analytic.embed(["1"])

    def gamma(process, t, like):
        a_t, a_u = (process.abar_at(k) for k in (int(t[0]), after[int(t[0])]))
        return torch.full_like(like[:, :1, :1, :1], (1 - a_t / a_u) / (a_t * (1 - a_t)) ** 0.5)

    def descending(step, steps, generators):
        return torch.full((2,), pairs[step][0])

    descent = list(
        edit(
            analytic,
            z_src=z,
            text_src=text_src,
            text_tgt=text_tgt,
            score=DDS(gamma),
            steps=len(pairs),
            lr=1.0,
            guidance_scale=3.0,
            timesteps=descending,
            generators=item_generators(0, range(2)),
        )
    )
    generators = item_generators(0, range(2))
    path = [SCHEDULE.mix(z, randn(generators, (4, 3, 3), z.dtype), t) for t, _ in pairs]
    path.append(z)
    walk = cycle(analytic, path[0], path, text_src, text_tgt, pairs, 3.0)
    for x_u, done, stepped in zip(path[1:], walk, descent, strict=True):
        moved = (done.y - x_u) / SCHEDULE.abar_at(done.coefficients.t_prev) ** 0.5
        torch.testing.assert_close(moved, stepped.z - z, atol=1e-9, rtol=0)
    assert (stepped.z - z).abs().max() > 0.1


def test_outside_the_mask_the_path_stays_to_the_bit(tiny):
    pairs = SCHEDULE.pairs(3, 0.7)
    z, text, other = double(2, 4, 4, 4).float(), tiny.embed(["a cat"]), tiny.embed(["a lion"])
    mask = torch.zeros(2, 1, 4, 4)
    mask[:, :, :2], mask[:, :, 2] = 1, 0.5
    path = forward_path(SCHEDULE, z, pairs, item_generators(0, range(2)))
    y = path[0] + 1
    generators = item_generators(1, range(2))
    runs = (
        cycle(tiny, y, path, text, other, pairs, 3.0, mask=mask),
        denoise(tiny, y, other, pairs, 3.0, 1.0, generators, path, mask),
    )
    for run in runs:
        for i, done in enumerate(run):
            assert torch.equal(done.y[:, :, 3], path[i + 1][:, :, 3])
            assert not torch.equal(done.y[:, :, 2], path[i + 1][:, :, 2])
            assert not torch.equal(done.y[:, :, :2], path[i + 1][:, :, :2])


def test_blending_is_exact_at_both_ends():
    x, y = torch.randn(1, 1, 1, 3), torch.randn(1, 1, 1, 3)
    mixed = blend(y, x, torch.tensor([0.0, 0.25, 1.0]).reshape(1, 1, 1, 3))
    assert mixed[..., 0] == x[..., 0] and mixed[..., 2] == y[..., 2]
    torch.testing.assert_close(mixed[..., 1], 0.75 * x[..., 1] + 0.25 * y[..., 1])
    assert blend(y, x, None) is y
