import pytest
import torch

from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.rows import SameRows

T = torch.tensor([30, 600])


class Counting(GaussianMixtureTeacher):
    """The analytic teacher, noting the rows of every forward pass."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        means = torch.randn(3, 2, 2, 2, dtype=torch.float64, generator=generator)
        super().__init__(means, torch.tensor([0.5, 0.6, 0.7]))
        self.passes = []

    def predict_noise(self, z_t, t, text):
        self.passes.append(len(z_t))
        return super().predict_noise(z_t, t, text)


@pytest.fixture
def teacher():
    return Counting()


@pytest.fixture
def noisy():
    return [torch.randn(2, 2, 2, 2, dtype=torch.float64) for _ in range(2)]


def test_all_branches_share_one_pass(teacher, noisy):
    predict_guided(teacher, noisy, [teacher.embed(["0"]), teacher.embed(["1"])], T, 3.0)
    assert teacher.passes == [8]
    assert teacher.nfe == 8


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 7.5, torch.tensor([2.0, 5.0])])
def test_each_branch_is_guided_by_hand(teacher, noisy, guidance_scale):
    texts = [teacher.embed(["0", "1"]), teacher.embed(["1"])]
    found = predict_guided(teacher, noisy, texts, T, guidance_scale)
    scale = (
        guidance_scale.reshape(2, 1, 1, 1)
        if isinstance(guidance_scale, torch.Tensor)
        else guidance_scale
    )
    for z_t, prompts, eps in zip(noisy, (["0", "1"], ["1", "1"]), found, strict=True):
        cond = teacher.predict_noise(z_t, T, teacher.embed(prompts))
        uncond = teacher.predict_noise(z_t, T, teacher.embed(["", ""]))
        expected = (1 - scale) * uncond + scale * cond
        torch.testing.assert_close(eps, expected, atol=1e-12, rtol=1e-12)


def test_the_scale_one_asks_no_unconditional_question(teacher, noisy):
    predict_guided(teacher, noisy, [teacher.embed(["0"])] * 2, T, 1.0)
    assert teacher.passes == [4]


def test_a_negative_prompt_stands_for_the_empty_one_on_all_sides(teacher, noisy):
    texts, negative = [teacher.embed(["0"]), teacher.embed(["1"])], teacher.embed(["2", "1"])
    found = predict_guided(teacher, noisy, texts, T, 3.0, negative)
    for z_t, prompt, eps in zip(noisy, "01", found, strict=True):
        cond = teacher.predict_noise(z_t, T, teacher.embed([prompt, prompt]))
        uncond = teacher.predict_noise(z_t, T, negative)
        torch.testing.assert_close(eps, -2.0 * uncond + 3.0 * cond, atol=1e-12, rtol=1e-12)
    empty = predict_guided(teacher, noisy, texts, T, 3.0, teacher.embed([""]))
    plain = predict_guided(teacher, noisy, texts, T, 3.0)
    assert all(torch.equal(one, other) for one, other in zip(empty, plain, strict=True))


@pytest.mark.parametrize("negative", [None, "2"])
@pytest.mark.parametrize("guidance_scale", [0.0, 7.5, torch.tensor([2.0, 5.0])])
def test_a_branch_told_what_guidance_leads_away_from_is_asked_once(
    teacher, noisy, negative, guidance_scale
):
    away = None if negative is None else teacher.embed([negative])
    texts = [teacher.embed(["0"]), teacher.embed([negative or ""])]
    twice = predict_guided(teacher, noisy, texts, T, guidance_scale, away)
    once = predict_guided(teacher, noisy, texts, T, guidance_scale, away, neutral=(False, True))
    assert teacher.passes == [8, 6]
    for one, other in zip(once, twice, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


def test_rows_that_are_the_same_are_asked_once_in_their_branch(teacher, noisy):
    z, same = noisy[1][:1].repeat(2, 1, 1, 1), SameRows.of(["a", "a"])
    t, texts = T[:1].repeat(2), [teacher.embed(["0", "1"]), teacher.embed(["1"])]
    each = predict_guided(teacher, [noisy[0], z], texts, t, 3.0)
    once = predict_guided(teacher, [noisy[0], z], texts, t, 3.0, same=(None, same))
    both = {"same": (None, same), "neutral": (False, True)}
    predict_guided(teacher, [noisy[0], z], [texts[0], teacher.embed([""])], t, 3.0, **both)
    assert teacher.passes == [8, 6, 5]
    for one, other in zip(once, each, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5, torch.tensor([2.0, 5.0])])
def test_a_branch_whose_answers_are_known_is_not_asked(teacher, noisy, guidance_scale):
    texts = [teacher.embed(["0", "1"]), teacher.embed(["1"])]
    both = predict_guided(teacher, noisy, texts, T, guidance_scale)
    for known in ((None, both[1]), (both[0], None)):
        found = predict_guided(teacher, noisy, texts, T, guidance_scale, known=known)
        for one, other in zip(found, both, strict=True):
            torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)
    assert teacher.passes[1:] == [teacher.passes[0] // 2] * 2


def test_branches_and_texts_must_pair_up(teacher, noisy):
    with pytest.raises(ValueError, match="2 branches"):
        predict_guided(teacher, noisy, [teacher.embed(["0"])], T, 1.0)


def test_a_branch_at_least_must_be_asked(teacher, noisy):
    with pytest.raises(ValueError, match="all branches are known"):
        predict_guided(teacher, noisy, [teacher.embed(["0"])] * 2, T, 1.0, known=noisy)


class Uneven(Counting):
    """Rounds every row of a pass differently, as kernels do that share rows out among threads."""

    def predict_noise(self, z_t, t, text):
        eps = super().predict_noise(z_t, t, text)
        return eps + 1e-7 * torch.randn(eps.shape, dtype=eps.dtype)


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0, 7.5])
def test_who_asks_the_same_twice_gets_one_answer_whatever_the_kernels_do(noisy, guidance_scale):
    teacher = Uneven()
    z_t = noisy[0]
    other = torch.stack([z_t[0], noisy[1][1]])  # the second item asks something else
    texts = teacher.embed(["0", "1"])
    first, second = predict_guided(teacher, [z_t, other], [texts, texts], T, guidance_scale)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    known = (None, second)  # rounded otherwise when it was asked
    first, second = predict_guided(
        teacher, [z_t, other], [texts] * 2, T, guidance_scale, None, known=known
    )
    assert torch.equal(first[0], second[0]) and torch.equal(second[1], known[1][1])
    first, second = predict_guided(
        teacher, [z_t, z_t], [texts, texts.take(torch.tensor([1, 0]))], T, guidance_scale
    )
    assert not torch.equal(first, second)
