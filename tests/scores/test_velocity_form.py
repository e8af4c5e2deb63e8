"""DDS of a flow in its two forms, against the exact velocities of a Gaussian mixture."""

import pytest
import torch

from i2i_dds.diffusion.process import RectifiedFlow, VariancePreserving
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.weights import velocity_units
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

STEPS = 100
T = torch.tensor([0, 40, 99])
STDS = torch.tensor([0.5, 0.7, 0.9], dtype=torch.float64)


def normal(seed: int) -> torch.Tensor:
    return torch.randn(
        3, 4, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


MEANS, Z, Z_SRC, EPS = (normal(seed) for seed in range(4))


def teacher(process) -> GaussianMixtureTeacher:
    return GaussianMixtureTeacher(MEANS, STDS, process=process)


def gradient(who, weight=None, z_tgt=Z) -> torch.Tensor:
    """Of DDS from component 0 to the mixture of 1 and 2."""
    return (DDS() if weight is None else DDS(weight))(
        who,
        ScoreInput(
            z_tgt=z_tgt,
            z_src=Z_SRC,
            text_tgt=who.embed(["1,2"]),
            text_src=who.embed(["0"]),
            t=T,
            eps=EPS,
            guidance_scale=1.0,
        ),
    )


def velocity(z: torch.Tensor, components: list[int], t: torch.Tensor) -> torch.Tensor:
    """``E[eps - z | x_t]`` of the mixture, from the posterior of z and of eps, by Bayes' rule.

    Given component k, z and eps are jointly Gaussian with x_t = (1 - t) z + t eps:
    E[z] = m + (1 - t) s^2 / v (x_t - (1 - t) m) and E[eps] = t / v (x_t - (1 - t) m), with
    v = (1 - t)^2 s^2 + t^2.
    """
    x_t = (1 - t) * z + t * EPS
    logs, answers = [], []
    for k in components:
        v = (1 - t) ** 2 * STDS[k] ** 2 + t**2
        offset = x_t - (1 - t) * MEANS[k]
        logs.append((-0.5 * offset**2 / v - 0.5 * v.log()).sum((1, 2, 3)))
        clean = MEANS[k] + (1 - t) * STDS[k] ** 2 / v * offset
        answers.append(t / v * offset - clean)
    posterior = torch.softmax(torch.stack(logs), 0)[..., None, None, None]
    return (posterior * torch.stack(answers)).sum(0)


@pytest.fixture
def flow():
    """A teacher, its times (3, 1, 1, 1) and the velocities of both sides."""
    u = (T + 1).double() / (STEPS + 1)
    t = (3 * u / (1 + 2 * u)).reshape(-1, 1, 1, 1)
    velocities = velocity(Z, [1, 2], t), velocity(Z_SRC, [0], t)
    return teacher(RectifiedFlow(STEPS, shift=3.0)), t, velocities


def test_the_epsilon_form_is_the_velocity_form_scaled_and_with_the_difference_of_the_latents(flow):
    who, t, (v_tgt, v_src) = flow
    expected = (1 - t) * ((v_tgt - v_src) + (Z - Z_SRC))
    torch.testing.assert_close(gradient(who), expected, atol=1e-12, rtol=1e-12)
    bare = (1 - t) * (v_tgt - v_src)
    assert (gradient(who) - bare).abs().max() > 0.1


def test_weighted_it_is_the_delta_of_the_flows_residuals(flow):
    who, _, (v_tgt, v_src) = flow
    residual_tgt, residual_src = v_tgt - (EPS - Z), v_src - (EPS - Z_SRC)
    found = gradient(who, velocity_units)
    torch.testing.assert_close(found, residual_tgt - residual_src, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    "process", [RectifiedFlow(STEPS, shift=3.0), VariancePreserving.scaled_linear()]
)
def test_the_weight_is_one_over_what_is_left_to_go_in_flow_time(process):
    alpha, sigma = (one(T, Z) for one in (process.alpha, process.sigma))
    time = sigma / (alpha + sigma)
    torch.testing.assert_close(velocity_units(process, T, Z), 1 / (1 - time), rtol=1e-10, atol=0)


def test_where_both_predictions_are_right_it_is_zero_and_the_bare_difference_is_not(flow):
    """Each prompt knows one picture, and these are the two."""
    _, t, _ = flow
    points = torch.cat([Z[:1], Z_SRC[:1]])
    sharp = torch.full((2,), 1e-9, dtype=torch.float64)
    who = GaussianMixtureTeacher(points, sharp, process=RectifiedFlow(STEPS, shift=3.0))
    z, z_src = (one.expand_as(EPS) for one in points.split(1))
    texts = {"text_tgt": who.embed(["0"]), "text_src": who.embed(["1"])}
    asked = ScoreInput(z_tgt=z, z_src=z_src, t=T, eps=EPS, guidance_scale=1.0, **texts)
    found = DDS(velocity_units)(who, asked)
    torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-9, rtol=0)

    def velocity_hat(clean, prompt):
        x_t = (1 - t) * clean + t * EPS
        return (who.predict_noise(x_t, T, who.embed([prompt] * 3)) - x_t) / (1 - t)

    bare = velocity_hat(z, "0") - velocity_hat(z_src, "1")
    torch.testing.assert_close(bare, z_src - z, atol=1e-9, rtol=0)
