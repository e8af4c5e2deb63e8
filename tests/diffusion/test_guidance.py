import torch

from i2i_dds.diffusion.guidance import classifier_free_guidance

UNCOND, COND = torch.randn(2, 3, 4, 2, 2, dtype=torch.float64)


def test_scale_zero_is_the_unconditional_answer_exactly():
    assert torch.equal(classifier_free_guidance(UNCOND, COND, 0.0), UNCOND)


def test_scale_one_is_the_conditional_answer():
    found = classifier_free_guidance(UNCOND, COND, 1.0)
    torch.testing.assert_close(found, COND, atol=1e-15, rtol=1e-15)


def test_guidance_starts_from_the_unconditional_answer():
    # From 1 towards 3 with scale 7.5: 1 + 7.5 * 2. Starting from 3 would give 18.
    one, three = torch.full((1, 1, 1, 1), 1.0), torch.full((1, 1, 1, 1), 3.0)
    assert classifier_free_guidance(one, three, 7.5).item() == 16.0


def test_each_item_may_have_its_scale():
    scales = torch.tensor([0.0, 1.0, 7.5])
    found = classifier_free_guidance(UNCOND, COND, scales)
    for i, scale in enumerate(scales.tolist()):
        alone = classifier_free_guidance(UNCOND[i : i + 1], COND[i : i + 1], scale)
        assert torch.equal(found[i : i + 1], alone)
