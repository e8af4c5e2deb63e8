"""IDS: the fixed point in closed form, its noise, and DDS where there is nothing to correct."""

from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.process import RectifiedFlow, VariancePreserving
from i2i_dds.errors import UserError
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.ids import IDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.weights import sigma2
from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

T = torch.tensor([200, 500, 900])
SHAPE = (3, 4, 3, 3)


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape or SHAPE, dtype=torch.float64, generator=generator)


Z, Z_SRC, EPS = normal(1), normal(2), normal(3)


def asked(teacher, **others):
    known = {"z_tgt": Z, "z_src": Z_SRC, "t": T, "eps": EPS, "guidance_scale": 1.0}
    known |= {"text_tgt": teacher.embed(["0"]), "text_src": teacher.embed(["1"])}
    return ScoreInput(**{**known, **others})


@pytest.fixture(params=[VariancePreserving.scaled_linear(), RectifiedFlow()], ids=["vp", "flow"])
def exact(request, teacher):
    return GaussianMixtureTeacher(teacher.means, teacher.stds, teacher.weights, request.param)


def gain(teacher, component):
    """d z0_hat / d z_t of one Gaussian, (B,): its posterior mean is linear in z_t."""
    alpha, sigma = (f(T, Z).flatten() for f in (teacher.process.alpha, teacher.process.sigma))
    spread = teacher.stds[component] ** 2
    return alpha * spread / (alpha**2 * spread + sigma**2)


def test_each_iteration_comes_nearer_by_what_the_closed_form_says(exact):
    """Of ``||z_src - z0_hat||`` the slope has length k, and z0_hat moves by k times a step."""
    score = IDS(iterations=6, lambda_fpr=0.05)
    distances = [d for _, d in score.fixed_point(exact, asked(exact))]
    k = gain(exact, 1)
    for before, after in zip(distances, distances[1:], strict=False):
        torch.testing.assert_close(before - after, 0.05 * k**2, rtol=1e-9, atol=0)
        assert (after < before).all()


def test_at_the_fixed_point_the_teacher_finds_the_source(exact):
    """A step as long as the way lands on it: every item's own lambda, one at a time."""
    for i, k in enumerate(gain(exact, 1).tolist()):
        row = slice(i, i + 1)
        inputs = asked(exact, z_tgt=Z[row], z_src=Z_SRC[row], t=T[row], eps=EPS[row])
        (_, distance), *_ = IDS().fixed_point(exact, inputs)
        score = IDS(iterations=1, lambda_fpr=distance.item() / k**2)
        ((z_t, _),) = score.fixed_point(exact, inputs)
        eps = exact.predict_noise(z_t, T[row], exact.embed(["1"]))
        found = exact.process.to_clean(z_t, eps, T[row])
        torch.testing.assert_close(found, Z_SRC[row], rtol=0, atol=1e-10)


def test_the_noise_of_the_fixed_point_serves_both_sides(exact):
    score = IDS(iterations=3, lambda_fpr=0.7, weight=sigma2)
    inputs = asked(exact, text_tgt=exact.embed(["2"]))
    *_, (z_src_t, _) = score.fixed_point(exact, inputs)
    alpha, sigma = exact.process.alpha(T, Z), exact.process.sigma(T, Z)
    eps = (z_src_t - alpha * Z_SRC) / sigma
    as_tgt, as_src = exact.embed(["2"]).expand(3), exact.embed(["1"]).expand(3)
    expected = exact.predict_noise(alpha * Z + sigma * eps, T, as_tgt)
    expected = sigma**2 * (expected - exact.predict_noise(z_src_t, T, as_src))
    torch.testing.assert_close(score(exact, inputs), expected, rtol=1e-9, atol=1e-11)
    assert (score(exact, inputs) - DDS(sigma2)(exact, inputs)).abs().max() > 1e-3


def test_between_gaussians_of_one_spread_the_noise_does_not_matter(exact):
    """Their scores are linear with one slope: what IDS corrects cancels in DDS already."""
    found, expected = (score(exact, asked(exact)) for score in (IDS(), DDS()))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0, torch.tensor([1.0, 3.0, 7.5])])
def test_a_matched_pair_is_zero_to_the_bit(exact, guidance_scale):
    text = exact.embed(["0", "1", "2"])
    same = asked(exact, z_src=Z.clone(), text_tgt=text, text_src=text.clone())
    grad = IDS()(exact, replace(same, guidance_scale=guidance_scale))
    assert torch.equal(grad, torch.zeros_like(Z))


def test_without_iterations_ids_is_dds_to_the_bit(exact):
    assert torch.equal(IDS(iterations=0)(exact, asked(exact)), DDS()(exact, asked(exact)))
    still = IDS(lambda_fpr=0.0)(exact, asked(exact))
    torch.testing.assert_close(still, DDS()(exact, asked(exact)), rtol=1e-9, atol=1e-11)


def test_a_source_that_is_found_already_stays(exact):
    """A distance of exactly 0 has no direction: the slope is 0 and not NaN."""
    means = torch.zeros(1, 4, 3, 3, dtype=torch.float64)
    one = GaussianMixtureTeacher(means, torch.ones(1), process=exact.process)
    zero = torch.zeros_like(Z)
    same = asked(exact, z_src=zero, eps=zero, text_src=one.embed(["0"]), text_tgt=one.embed(["0"]))
    for z_t, distance in IDS().fixed_point(one, same):
        assert torch.equal(z_t, zero) and torch.equal(distance, torch.zeros_like(distance))


def test_ids_of_a_network_counts_what_it_asks_and_leaves_no_graph(tiny_folder):
    tiny = StableDiffusionTeacher.load(str(tiny_folder), device="cpu", dtype="float64")
    wide = [normal(seed, 2, 4, 8, 8) for seed in (1, 2, 3)]
    text = {"text_tgt": tiny.embed(["a lion"]), "text_src": tiny.embed(["a cat"])}
    known = dict(zip(("z_tgt", "z_src", "eps"), wide, strict=True)) | text
    inputs = ScoreInput(**known, t=T[:2], guidance_scale=3.0)
    before = tiny.nfe
    grad = IDS(iterations=2)(tiny, inputs)
    assert tiny.nfe - before == 2 * (2 * 2 + 4)
    assert not grad.requires_grad
    assert all(p.grad is None and not p.requires_grad for p in tiny.unet.parameters())
    distances = [d for _, d in IDS(iterations=4, lambda_fpr=0.05).fixed_point(tiny, inputs)]
    assert all((b < a).all() for a, b in zip(distances, distances[1:], strict=False))
    expected, tiny = grad, StableDiffusionTeacher.load(str(tiny_folder), "cpu", "float64")
    with torch.inference_mode():
        given = {name: x.clone() for name, x in known.items() if name not in text}
        prompts = (("text_tgt", "a lion"), ("text_src", "a cat"))
        words = {name: tiny.embed([prompt]) for name, prompt in prompts}
        again = ScoreInput(**given, **words, t=T[:2].clone(), guidance_scale=3.0)
        found = IDS(iterations=2)(tiny, again)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_a_teacher_that_cannot_be_differentiated_is_refused():
    class Closed:
        pass

    with pytest.raises(UserError, match="^score: IDS differentiates the teacher, which a Closed "):
        IDS()(Closed(), None)  # type: ignore[arg-type]


def test_an_answer_about_the_source_with_other_noise_is_not_taken(exact):
    score = IDS(iterations=2, lambda_fpr=0.05)
    told = score(exact, asked(exact, eps_src=normal(4)))
    assert torch.equal(told, score(exact, asked(exact)))
