import diffusers
import pytest
import torch

from i2i_dds.diffusion.process import CLEAN, RectifiedFlow, VariancePreserving
from i2i_dds.errors import UserError

SD = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
TIMES = torch.tensor([0, 1, 50, 261, 500, 948, 999])


@pytest.mark.parametrize(
    "config",
    [
        SD,
        {**SD, "rescale_betas_zero_snr": True},
        {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"trained_betas": torch.linspace(0.001, 0.1, 1000).tolist()},
    ],
)
@pytest.mark.parametrize("reference", [diffusers.DDIMScheduler, diffusers.DDPMScheduler])
def test_alphas_and_noising_agree_with_diffusers(config, reference):
    theirs = reference(**config)
    ours = VariancePreserving.from_scheduler_config(config)
    torch.testing.assert_close(ours.alphas_cumprod.float(), theirs.alphas_cumprod)

    z, eps = torch.randn(2, len(TIMES), 4, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = theirs.add_noise(z, eps, TIMES)
    torch.testing.assert_close(ours.mix(z, eps, TIMES), expected, atol=1e-5, rtol=1e-5)


def test_scaled_linear_is_stable_diffusions_schedule():
    ours = VariancePreserving.scaled_linear()
    from_config = VariancePreserving.from_scheduler_config(SD)
    assert torch.equal(ours.alphas_cumprod, from_config.alphas_cumprod)
    assert len(ours) == 1000


def test_alpha_and_sigma_are_derived_by_hand():
    schedule = VariancePreserving(torch.tensor([0.64, 0.36], dtype=torch.float64))
    like = torch.zeros(3, 1, 1, 1, dtype=torch.float64)
    t = torch.tensor([0, 1, CLEAN])
    close = {"atol": 1e-15, "rtol": 0}
    expected = torch.tensor([0.8, 0.6, 1.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    torch.testing.assert_close(schedule.alpha(t, like), expected, **close)
    expected = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    torch.testing.assert_close(schedule.sigma(t, like), expected, **close)
    torch.testing.assert_close(schedule.snr(t)[:2], torch.tensor([0.64 / 0.36, 0.36 / 0.64]))
    assert schedule.snr(t)[2] == torch.inf


def test_the_clean_timestep_leaves_the_latent_alone():
    schedule = VariancePreserving.scaled_linear()
    z, eps = torch.randn(2, 2, 4, 3, 3)
    assert torch.equal(schedule.mix(z, eps, CLEAN), z)
    assert schedule.alpha(CLEAN, z).shape == (1, 1, 1, 1)


@pytest.mark.parametrize("t", [1000, torch.tensor([1000])])
def test_a_timestep_past_the_end_is_an_error_and_not_the_clean_one(t):
    with pytest.raises(IndexError):
        VariancePreserving.scaled_linear().alpha(t, torch.zeros(1, 1, 1, 1))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_noise_and_clean_latent_come_back_in_float64(prediction_type):
    schedule = VariancePreserving.scaled_linear(prediction_type=prediction_type)
    z, eps = torch.randn(2, len(TIMES), 4, 3, 3, dtype=torch.float64)
    z_t = schedule.mix(z, eps, TIMES)
    output = eps if prediction_type == "epsilon" else schedule.target(z, eps, TIMES)
    found = schedule.to_eps(output, z_t, TIMES)
    torch.testing.assert_close(found, eps, atol=1e-12, rtol=0)
    torch.testing.assert_close(schedule.to_clean(z_t, found, TIMES), z, atol=1e-11, rtol=0)


def test_v_to_eps_agrees_with_diffusers():
    config = {**SD, "prediction_type": "v_prediction", "clip_sample": False}
    ours = VariancePreserving.from_scheduler_config(config)
    ddim = diffusers.DDIMScheduler(**config)
    ddim.set_timesteps(1000)
    z_t, v, eps = torch.randn(3, 1, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    for t in (1, 261, 948):
        found = ours.to_eps(v, z_t, t)
        step = ddim.step(v, t, z_t)
        close = {"atol": 1e-5, "rtol": 1e-4}
        torch.testing.assert_close(ours.to_clean(z_t, found, t), step.pred_original_sample, **close)
        # With eta = 0, DDIM's previous sample is its x0 and its eps, noised to the step below.
        below = ours.mix(step.pred_original_sample, found, t - 1)
        torch.testing.assert_close(below, step.prev_sample, **close)
    times = torch.tensor([500])
    theirs = diffusers.DDPMScheduler(**config).get_velocity(z_t, eps, times)
    torch.testing.assert_close(ours.target(z_t, eps, times), theirs, atol=1e-5, rtol=1e-4)


def test_half_precision_keeps_the_digits_of_sigma():
    schedule = VariancePreserving.scaled_linear()
    exact = (1 - schedule.alphas_cumprod[0]).sqrt()
    half = schedule.sigma(0, torch.zeros(1, 1, 1, 1, dtype=torch.float16))
    assert abs(half.double() - exact).item() < exact * 2**-11


@pytest.mark.parametrize("steps", [1, 20, 30, 50, 77, 100, 500])
def test_pairs_follow_stable_diffusions_ddim(steps):
    ddim = diffusers.DDIMScheduler(**SD, steps_offset=1, timestep_spacing="leading")
    ddim.set_timesteps(steps)
    pairs = VariancePreserving.scaled_linear().pairs(steps)
    assert [t for t, _ in pairs] == ddim.timesteps.tolist()
    assert [u for _, u in pairs] == [*ddim.timesteps.tolist()[1:], CLEAN]


@pytest.mark.parametrize("steps", [1, 3, 30, 999, 1000])
def test_pairs_descend_to_the_clean_latent_whatever_the_stride(steps):
    pairs = VariancePreserving.scaled_linear().pairs(steps)
    assert len(pairs) == steps
    assert all(1000 > t > u >= CLEAN for t, u in pairs)
    assert pairs[-1][1] == CLEAN


def test_pairs_started_lower_are_the_end_of_the_full_list():
    schedule = VariancePreserving.scaled_linear()
    assert schedule.pairs(200, 0.6) == schedule.pairs(200)[-120:]
    assert schedule.pairs(50, 0.58) == schedule.pairs(50)[-29:]
    assert schedule.pairs(50, 0.001) == schedule.pairs(50)[-1:]


@pytest.mark.parametrize(
    ("arguments", "key"), [((0,), "steps"), ((1001,), "steps"), ((10, 0.0), "t_start")]
)
def test_pairs_refuses_what_it_cannot_do(arguments, key):
    with pytest.raises(UserError, match=key):
        VariancePreserving.scaled_linear().pairs(*arguments)


@pytest.mark.parametrize(
    ("change", "key"),
    [({"prediction_type": "sample"}, "prediction_type"), ({"beta_schedule": "sigmoid"}, "beta")],
)
def test_an_unknown_schedule_is_refused_by_name(change, key):
    with pytest.raises(UserError, match=key):
        VariancePreserving.from_scheduler_config({**SD, **change})


def test_a_grid_that_would_begin_far_below_the_noise_is_refused():
    schedule = VariancePreserving.scaled_linear()
    with pytest.raises(UserError, match="steps: 400 is not allowed.* give 333 or 500"):
        schedule.pairs(400)
    for steps in (1, 7, 30, 50, 111, 250, 333, 500, 1000):
        assert schedule.pairs(steps)[0][0] >= 0.85 * 1000 or steps < 10


def test_rectified_flow_is_straight_and_its_velocity_leads_both_ways():
    """``z_t = (1 - s) z + s eps``, ``v = eps - z``: eps = z_t + (1 - s) v, z = z_t - s v."""
    flow = RectifiedFlow(steps=4)
    like = torch.zeros(4, 1, dtype=torch.float64)
    s = flow.sigma(torch.arange(4), like)[:, 0]
    torch.testing.assert_close(s, torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=torch.float64))
    z, eps = torch.randn(2, 4, 4, 3, 3, dtype=torch.float64)
    t = torch.arange(4)
    z_t, v = flow.mix(z, eps, t), flow.target(z, eps, t)
    close = {"atol": 1e-12, "rtol": 0}
    torch.testing.assert_close(flow.to_eps(v, z_t, t), eps, **close)
    torch.testing.assert_close(flow.to_clean(z_t, eps, t), z, **close)
    torch.testing.assert_close(z_t - s.reshape(4, 1, 1, 1) * v, z, **close)


def test_a_shift_makes_more_timesteps_noisy():
    """Stable Diffusion 3's eq. 23 at shift 3: u = 1/4 becomes 3/4 / (1 + 1/2) = 1/2."""
    shifted = RectifiedFlow(steps=3, shift=3.0)
    assert shifted.sigma_at(0) == pytest.approx(0.5)
    assert shifted.alpha_at(0) == pytest.approx(0.5)
    with pytest.raises(UserError, match="shift: 0 is not allowed"):
        RectifiedFlow(shift=0)
