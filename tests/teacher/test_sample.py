import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.errors import UserError
from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.sample import sample


@pytest.fixture
def teacher() -> GaussianMixtureTeacher:
    """Three tight blobs of one cell each, at -2, 0.5 and 3 in all channels, weights 1:1:2."""
    means = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64).reshape(3, 1, 1, 1)
    return GaussianMixtureTeacher(
        means.expand(3, 3, 1, 1), torch.full((3,), 0.1), torch.tensor([1.0, 1.0, 2.0])
    )


def test_samples_land_on_the_prompts_components(teacher: GaussianMixtureTeacher) -> None:
    prompts = ["0"] * 40 + ["1"] * 40 + ["2"] * 40
    x = sample(teacher, prompts, item_generators(0, range(120)), 100, guidance_scale=1.0, size=1)
    assert x.shape == (120, 3, 1, 1) and x.dtype == torch.float64
    for part, mean in zip(x.chunk(3), (-2.0, 0.5, 3.0), strict=True):
        # 120 draws of deviation 0.1: the mean within 4 standard errors, plus the solver's error.
        assert abs(part.mean() - mean) < 0.05
        assert 0.07 < part.std() < 0.13


def test_unprompted_samples_follow_the_weights(teacher: GaussianMixtureTeacher) -> None:
    x = sample(teacher, [""] * 400, item_generators(0, range(400)), 50, 1.0, size=1)
    middle = x.mean(dim=(1, 2, 3))
    shares = [((middle - mean).abs() < 0.6).double().mean() for mean in (-2.0, 0.5, 3.0)]
    assert sum(shares) > 0.97
    assert abs(shares[2] - 0.5) < 0.1 and abs(shares[0] - 0.25) < 0.1


def test_guidance_turns_towards_the_prompt(teacher: GaussianMixtureTeacher) -> None:
    """At scale 0 the prompt is not heard; at a large one, "2" is overshot away from the rest."""
    none, prompt = (
        sample(teacher, [words] * 8, item_generators(3, range(8)), 20, scale, size=1)
        for words, scale in (("2", 0.0), ("", 1.0))
    )
    assert torch.equal(none, prompt)
    strong = sample(teacher, ["2"] * 8, item_generators(3, range(8)), 20, 6.0, size=1)
    assert (strong.mean(dim=(1, 2, 3)) > 2.9).all()


def test_a_picture_does_not_depend_on_its_batch(teacher: GaussianMixtureTeacher) -> None:
    whole = sample(teacher, ["0", "", "2"], item_generators(7, ["a", "b", "c"]), 10, 2.0, 2)
    alone = sample(teacher, [""], item_generators(7, ["b"]), 10, 2.0, 2)
    torch.testing.assert_close(whole[1:2], alone, rtol=0, atol=1e-12)


def test_oblong_and_impossible_sizes(teacher: GaussianMixtureTeacher) -> None:
    teacher.means = teacher.means.expand(3, 3, 2, 4)
    assert sample(teacher, ["0"], item_generators(0, [0]), 2, 1.0, (2, 4)).shape[2:] == (2, 4)
    with pytest.raises(UserError, match="size: 0 is not allowed"):
        sample(teacher, ["0"], item_generators(0, [0]), size=0)
