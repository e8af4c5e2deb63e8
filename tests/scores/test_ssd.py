"""SSD: its terms one by one, DDS where the source has no prompt, and the authors' sum."""

import math
from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.ssd import SSD
from i2i_dds.scores.weights import sigma2
from i2i_dds.teacher.analytic import GaussianMixtureTeacher

T = torch.tensor([50, 500, 948])


def normal(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((3, 4, 3, 3), dtype=torch.float64, generator=generator)


Z, Z_SRC, EPS = normal(1), normal(2), normal(3)


def asked(teacher, target="0", source="1", **others):
    known = {"z_tgt": Z, "z_src": Z_SRC, "t": T, "eps": EPS, "guidance_scale": 3.0}
    known |= {"text_tgt": teacher.embed([target]), "text_src": teacher.embed([source])}
    return ScoreInput(**{**known, **others})


@pytest.fixture(params=["epsilon", "flow"])
def exact(request, teacher):
    if request.param == "epsilon":
        return teacher
    return GaussianMixtureTeacher(teacher.means, teacher.stds, teacher.weights, RectifiedFlow())


def answer(teacher, z, prompt):
    z_t = teacher.process.mix(z, EPS, T)
    return teacher.predict_noise(z_t, T, teacher.embed([prompt]).expand(3))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_ssd_is_the_sum_of_the_authors_code(exact):
    """compute_grad_dds of sd_ssd_guidance.py, in its names and with its numbers, doubled."""
    image_scale, guidance_scale, enhance_scale = 2.0, 7.5, 5.5
    src_null, tgt_null = answer(exact, Z_SRC, ""), answer(exact, Z, "")
    tgt_source, tgt_target = answer(exact, Z, "1"), answer(exact, Z, "0")
    grad = (
        image_scale * (tgt_source - src_null) * 0.5
        + guidance_scale * (tgt_target - tgt_source) * 0.5
        + enhance_scale * (tgt_target - tgt_null)
    )
    apart = exact.process.mix(Z, EPS, T) - exact.process.mix(Z_SRC, EPS, T)
    rising = torch.tensor([math.exp(t / 1000) for t in T.tolist()]).reshape(-1, 1, 1, 1)
    grad = grad + 0.075 * apart * rising
    before = exact.nfe
    found = SSD(2.0, 11.0, 0.15)(exact, asked(exact, guidance_scale=7.5))
    assert exact.nfe - before == 4 * 3
    torch.testing.assert_close(found, 2 * grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0, torch.tensor([1.0, 3.0, 7.5])])
def test_ssd_is_dds_where_the_source_has_no_prompt(exact, guidance_scale):
    inputs = asked(exact, source="", guidance_scale=guidance_scale)
    before = exact.nfe
    found = SSD(weight=sigma2)(exact, inputs)
    assert exact.nfe - before == 3 * 3
    close(found, DDS(sigma2)(exact, inputs))


def test_both_terms_are_guidance_with_the_source_as_negative_prompt(exact):
    """... minus the source without a prompt: SDS so guided, and the noise of that difference."""
    inputs = asked(exact)
    guided = SDS()(exact, replace(inputs, text_neg=inputs.text_src))
    close(SSD()(exact, inputs), guided + EPS - answer(exact, Z_SRC, ""))


def test_the_cross_prompt_term_is_zero_for_equal_prompts_and_turns_with_them(exact):
    term = SSD(lambda_trajectory=0.0)
    same = term(exact, asked(exact, target="1"))
    assert torch.equal(same, torch.zeros_like(Z))
    there, back = term(exact, asked(exact)), term(exact, asked(exact, target="1", source="0"))
    close(there, -back)
    close(there, 3.0 * (answer(exact, Z, "0") - answer(exact, Z, "1")))
    assert there.abs().max() > 0.1


def test_a_matched_pair_leaves_the_sources_prompt_against_none(exact):
    found = SSD(lambda_trajectory=2.0)(exact, asked(exact, target="1", z_src=Z.clone()))
    close(found, 2.0 * (answer(exact, Z, "1") - answer(exact, Z, "")))
    assert found.abs().max() > 0.01
    empty = SSD(lambda_trajectory=2.0)(exact, asked(exact, "", "", z_src=Z.clone()))
    assert torch.equal(empty, torch.zeros_like(Z))


def test_the_enhancement_is_the_targets_classifier(exact):
    added = SSD(lambda_enhancement=4.0)(exact, asked(exact)) - SSD()(exact, asked(exact))
    close(added, 4.0 * (answer(exact, Z, "0") - answer(exact, Z, "")))


def test_the_identity_term_is_not_weighed_and_pulls_to_the_source(exact):
    inputs = asked(exact)
    added = SSD(lambda_identity=0.5)(exact, inputs) - SSD()(exact, inputs)
    weighed = SSD(lambda_identity=0.5, weight=sigma2)(exact, inputs) - SSD(weight=sigma2)(
        exact, inputs
    )
    close(weighed, added)
    assert ((added * (Z - Z_SRC)).sum((1, 2, 3)) > 0).all()


def test_a_negative_prompt_takes_the_place_of_the_empty_one(exact):
    inputs = asked(exact, text_neg=exact.embed(["2"]))
    expected = 3.0 * (answer(exact, Z, "0") - answer(exact, Z, "1"))
    expected = expected + answer(exact, Z, "1") - answer(exact, Z_SRC, "2")
    close(SSD()(exact, inputs), expected)


def test_weights_below_zero_are_refused():
    for name in ("lambda_trajectory", "lambda_enhancement", "lambda_identity"):
        with pytest.raises(UserError, match=f"^{name}: -1 is not allowed"):
            SSD(**{name: -1})
