"""Exact properties of SDS and DDS, in float64 on a teacher whose answers are known."""

import math
from dataclasses import replace

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.scores.cds import CDS
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.gradient import guarded
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.pds import PDS
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.sds_l2 import SDSL2
from i2i_dds.scores.weights import clean_units, sigma2
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

BATCH = 3
T = torch.tensor([50, 500, 948])


def normal(seed, *shape, dtype=torch.float64):
    shape = shape or (BATCH, 4, 3, 3)
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


Z, Z_SRC, EPS = normal(1), normal(2), normal(3)


def inputs(text_tgt, text_src, guidance_scale, **others):
    """Z beside Z_SRC, where nothing else is said."""
    known = {"z_tgt": Z, "z_src": Z_SRC, "t": T, "eps": EPS, **others}
    return ScoreInput(text_tgt=text_tgt, text_src=text_src, guidance_scale=guidance_scale, **known)


def column(values):
    return values.reshape(-1, 1, 1, 1)


def alpha_sigma(teacher):
    abar = column(teacher.process.alphas_cumprod[T])
    return abar.sqrt(), (1 - abar).sqrt()


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 7.5, torch.tensor([1.0, 3.0, 7.5])])
def test_dds_is_zero_for_a_matched_pair(teacher, guidance_scale):
    text = teacher.embed(["0", "1", "2"])
    grad = DDS()(teacher, inputs(text, text.clone(), guidance_scale, z_src=Z.clone()))
    assert torch.equal(grad, torch.zeros_like(Z))
    sds = SDS()(teacher, inputs(text, text, guidance_scale, z_src=Z))
    assert sds.abs().max() > 0.1


@pytest.mark.parametrize("batch", [1, 3])
def test_dds_is_zero_for_a_matched_pair_of_a_network_in_float32(tiny_folder, batch):
    tiny = StableDiffusionTeacher.load(str(tiny_folder), device="cpu")
    z, eps = normal(1, batch, 4, 8, 8, dtype=torch.float32), normal(2, batch, 4, 8, 8).float()
    t, cat, lion = T[:batch], tiny.embed(["a cat"]), tiny.embed(["a lion"])
    known = {"z_tgt": z, "z_src": z, "t": t, "eps": eps}
    assert torch.equal(DDS()(tiny, inputs(cat, cat, 7.5, **known)), torch.zeros_like(z))
    assert DDS()(tiny, inputs(lion, cat, 7.5, **known)).abs().max() > 1e-4


@pytest.mark.parametrize("score", [DDS(), DDS(sigma2), PDS(scale=2.0), CDS(lambda_contrastive=0)])
@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_a_score_takes_what_was_said_of_the_source_before(teacher, score, guidance_scale):
    text_tgt, text_src = teacher.embed(["0"]), teacher.embed(["1", "2", "1"])
    asked = score(teacher, inputs(text_tgt, text_src, guidance_scale))
    rows = len(teacher.asked[0])
    z_src_t = teacher.process.mix(Z_SRC, EPS, T)
    (eps_src,) = predict_guided(teacher, [z_src_t], [text_src], T, guidance_scale)
    told = score(teacher, inputs(text_tgt, text_src, guidance_scale, eps_src=eps_src))
    assert score.takes_eps_src and len(teacher.asked[0]) == rows // 2
    torch.testing.assert_close(told, asked, atol=1e-12, rtol=1e-12)
    other = score(teacher, inputs(text_tgt, text_src, guidance_scale, eps_src=eps_src + 1))
    assert (other - asked).abs().min() > 1e-3


def test_dds_is_zero_for_a_matched_pair_whatever_was_kept(teacher):
    text = teacher.embed(["0", "1", "2"])
    kept = inputs(text, text.clone(), 7.5, z_src=Z.clone(), eps_src=normal(4))
    assert torch.equal(DDS()(teacher, kept), torch.zeros_like(Z))


def test_inputs_are_given_by_name(teacher):
    """Source and target are tensors of the same shapes: an order would tell nobody a mistake."""
    tgt, src = teacher.embed(["0"]), teacher.embed(["1"])
    with pytest.raises(TypeError, match="positional"):
        ScoreInput(Z, Z_SRC, tgt, src, T, EPS, 7.5)
    named = {"z_tgt": Z, "z_src": Z_SRC, "text_tgt": tgt, "text_src": src, "t": T, "eps": EPS}
    there = DDS()(teacher, ScoreInput(**named, guidance_scale=7.5))
    backwards = dict(reversed(named.items()))
    assert torch.equal(DDS()(teacher, ScoreInput(guidance_scale=7.5, **backwards)), there)
    swapped = {"z_tgt": Z_SRC, "z_src": Z, "text_tgt": src, "text_src": tgt, "t": T, "eps": EPS}
    back = DDS()(teacher, ScoreInput(**swapped, guidance_scale=7.5))
    torch.testing.assert_close(back, -there, atol=1e-12, rtol=0)
    assert there.abs().max() > 0.1


@pytest.mark.parametrize("weight", [sigma2, clean_units])
def test_dds_is_sds_of_the_target_minus_sds_of_the_source(teacher, weight):
    tgt, src = teacher.embed(["0"]), teacher.embed(["1,2"])
    dds = DDS(weight)(teacher, inputs(tgt, src, 7.5))
    sds_tgt = SDS(weight)(teacher, inputs(tgt, src, 7.5))
    sds_src = SDS(weight)(teacher, inputs(src, tgt, 7.5, z_tgt=Z_SRC, z_src=Z))
    torch.testing.assert_close(dds, sds_tgt - sds_src, atol=1e-12, rtol=0)


def test_both_sides_see_the_same_timestep_and_the_same_noise(teacher):
    DDS()(teacher, inputs(teacher.embed(["0"]), teacher.embed(["1"]), 7.5))
    z_t, t = teacher.asked
    assert t.tolist() == T.tolist() * 4
    alpha, sigma = alpha_sigma(teacher)
    clean = (Z, Z_SRC, Z, Z_SRC)
    for rows, z in zip(z_t.chunk(4), clean, strict=True):
        torch.testing.assert_close((rows - alpha * z) / sigma, EPS, atol=1e-12, rtol=0)
    assert teacher.nfe == 4 * BATCH


def test_sds_asks_for_the_target_only(teacher):
    SDS()(teacher, inputs(teacher.embed(["0"]), teacher.embed(["1"]), 7.5))
    assert teacher.nfe == 2 * BATCH


def test_sds_l2_is_the_derivative_of_sds_and_of_a_spring_to_the_source(teacher):
    asked = inputs(teacher.embed(["0"]), teacher.embed(["1"]), 7.5)
    sds = SDS(sigma2)(teacher, asked)
    z = Z.clone().requires_grad_()
    spring = 0.3 / 2 * (z - Z_SRC).square().sum()
    (expected,) = torch.autograd.grad(spring + (z * sds).sum(), z)
    found = SDSL2(0.3, sigma2)(teacher, asked)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    assert torch.equal(SDSL2(0.0, sigma2)(teacher, asked), sds)
    assert torch.equal(SDSL2(0.3, sigma2)(teacher, replace(asked, z_src=Z)), sds)
    assert teacher.nfe == 4 * 2 * BATCH


def test_a_spring_that_pushes_is_refused():
    with pytest.raises(UserError, match="lambda_l2: -1 is not allowed"):
        SDSL2(-1)


def test_closed_form_of_a_single_gaussian(teacher):
    """Of N(m, s^2): eps_hat = sigma (alpha (z - m) + sigma eps) / v, v = alpha^2 s^2 + sigma^2."""
    alpha, sigma = alpha_sigma(teacher)
    v = alpha**2 * 0.5**2 + sigma**2
    m_tgt, m_src = teacher.means[0], teacher.means[1]
    text = teacher.embed(["0"]), teacher.embed(["1"])
    sds = SDS()(teacher, inputs(*text, 1.0))
    expected = sigma * (alpha * (Z - m_tgt) + sigma * EPS) / v - EPS
    torch.testing.assert_close(sds, expected, atol=1e-12, rtol=0)
    # The noise cancels, and so would any bias common to both sides.
    dds = DDS()(teacher, inputs(*text, 1.0))
    expected = sigma * alpha / v * ((Z - m_tgt) - (Z_SRC - m_src))
    torch.testing.assert_close(dds, expected, atol=1e-12, rtol=0)
    assert not torch.allclose(sds, SDS()(teacher, inputs(*text, 1.0, eps=-EPS)))
    other = DDS()(teacher, inputs(*text, 1.0, eps=-EPS))
    torch.testing.assert_close(other, dds, atol=1e-12, rtol=0)


def mixture_noise(teacher, z_t, weights):
    """-sigma grad log sum_k w_k N(z_t; alpha m_k, v_k), by autograd."""
    alpha, sigma = alpha_sigma(teacher)
    z_t = z_t.clone().requires_grad_()
    logs = []
    for weight, mean, std in zip(weights, teacher.means, teacher.stds, strict=True):
        if weight == 0:
            continue
        v = alpha**2 * std**2 + sigma**2
        cells = -0.5 * (z_t - alpha * mean) ** 2 / v - 0.5 * (2 * math.pi * v).log()
        logs.append(cells.sum((1, 2, 3)) + math.log(weight))
    (score,) = torch.autograd.grad(torch.stack(logs).logsumexp(0).sum(), z_t)
    return -sigma * score


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 7.5])
def test_closed_form_of_a_mixture_by_autograd_of_its_log_density(teacher, guidance_scale):
    alpha, sigma = alpha_sigma(teacher)
    everything, only = [0.2, 0.5, 0.3], {"0,2": [0.2, 0.0, 0.3], "1": [0.0, 0.5, 0.0]}

    def guided(z, prompt):
        z_t = alpha * z + sigma * EPS
        uncond = mixture_noise(teacher, z_t, everything)
        cond = mixture_noise(teacher, z_t, only[prompt])
        return uncond + guidance_scale * (cond - uncond)

    tgt, src = teacher.embed(["0,2"]), teacher.embed(["1"])
    sds = SDS()(teacher, inputs(tgt, src, guidance_scale))
    torch.testing.assert_close(sds, guided(Z, "0,2") - EPS, atol=1e-9, rtol=1e-9)
    dds = DDS()(teacher, inputs(tgt, src, guidance_scale))
    expected = guided(Z, "0,2") - guided(Z_SRC, "1")
    torch.testing.assert_close(dds, expected, atol=1e-9, rtol=1e-9)


def test_weights_multiply_the_gradient_of_their_own_timestep(teacher):
    texts = teacher.embed(["0"]), teacher.embed(["1"])
    plain = DDS()(teacher, inputs(*texts, 3.0))
    alpha, sigma = alpha_sigma(teacher)
    for weight, factor in [(sigma2, sigma**2), (clean_units, sigma / alpha)]:
        found = DDS(weight)(teacher, inputs(*texts, 3.0))
        torch.testing.assert_close(found, factor * plain, atol=1e-12, rtol=1e-12)


def test_in_clean_units_dds_is_a_difference_of_clean_estimates(teacher):
    tgt, src = teacher.embed(["0"]), teacher.embed(["1"])
    grad = DDS(clean_units)(teacher, inputs(tgt, src, 1.0, z_src=Z))
    z_t = teacher.process.mix(Z, EPS, T)
    clean = [
        teacher.process.to_clean(z_t, teacher.predict_noise(z_t, T, text.expand(3)), T)
        for text in (tgt, src)
    ]
    torch.testing.assert_close(grad, clean[1] - clean[0], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("score", [SDS(), DDS(), SDSL2(0.3)])
def test_outside_the_mask_a_step_leaves_every_bit(teacher, score):
    mask = torch.zeros(1, 1, 3, 3)
    mask[..., 1, :] = torch.tensor([1.0, 0.25, 1.0])
    z = Z.clone()
    z[:, 0, 0] = -0.0
    free = score(teacher, inputs(teacher.embed(["0"]), teacher.embed(["1"]), 7.5, z_tgt=z))
    held = guarded(free, mask).value
    torch.testing.assert_close(held, free * mask, atol=0, rtol=0)
    stepped = z - 0.0488 * held
    outside = (mask == 0).expand_as(z)
    assert torch.equal(stepped.view(torch.int64)[outside], z.view(torch.int64)[outside])
    assert (stepped != z)[~outside].all()


@pytest.mark.parametrize("score", [SDS(), DDS(), SDSL2(0.3)])
def test_broken_numbers_are_replaced_and_counted(teacher, score):
    asked = inputs(teacher.embed(["0"]), teacher.embed(["1"]), 1.0)
    whole = guarded(score(teacher, asked))
    assert whole.nonfinite == 0
    teacher.broken = [((0, 0, 0, 0), math.nan), ((1, 2, 1, 1), math.inf), ((2, 3, 2, 2), -math.inf)]
    mask = torch.ones(1, 1, 3, 3)
    mask[..., 0, 0] = 0
    for where in (None, mask):
        grad = guarded(score(teacher, asked), where)
        assert grad.nonfinite == 3
        assert torch.isfinite(grad.value).all()
        expected = whole.value.clone()
        for place, _ in teacher.broken:  # the whole entry is dropped, a spring's part too
            expected[place] = 0.0
        if where is not None:
            expected[..., 0, 0] = 0.0
        assert torch.equal(grad.value, expected)


def test_no_gradient_flows_through_the_teacher(teacher):
    z = Z.clone().requires_grad_()
    grad = DDS()(teacher, inputs(teacher.embed(["0"]), teacher.embed(["1"]), 7.5, z_tgt=z))
    assert not grad.requires_grad
