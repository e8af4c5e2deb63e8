"""CDS on a tiny untrained UNet, in float64 where numbers are compared."""

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.scores.cds import CDS
from i2i_dds.scores.contrast import patch_nce
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.weights import sigma2
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

BATCH = 3
T = torch.tensor([50, 500, 900])


@pytest.fixture(scope="module")
def exact(tiny_folder):
    return StableDiffusionTeacher.load(str(tiny_folder), device="cpu", dtype="float64")


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape or (BATCH, 4, 8, 8), dtype=torch.float64, generator=generator)


Z, Z_SRC, EPS = normal(1), normal(2), normal(3)


def asked(teacher):
    return Z, Z_SRC, teacher.embed(["a lion"]), teacher.embed(["a cat"]), T, EPS


def structure_part(teacher, score, **options):
    """CDS minus DDS."""
    arguments = *asked(teacher), 3.0
    cds = score(teacher, *arguments, **options).value
    return cds - DDS(score.weight)(teacher, *arguments, **options).value


@pytest.mark.parametrize("masked", [False, True])
def test_without_its_loss_cds_is_dds_to_the_bit(exact, masked):
    mask = torch.rand(BATCH, 1, 8, 8) if masked else None
    before = exact.evaluations
    found = CDS(contrast=0.0, weight=sigma2)(exact, *asked(exact), 3.0, mask=mask)
    assert exact.evaluations - before == 4 * BATCH
    expected = DDS(sigma2)(exact, *asked(exact), 3.0, mask=mask)
    assert torch.equal(found.value, expected.value)


@pytest.mark.parametrize("blocks", ["up", "all"])
def test_the_gradient_is_the_slope_of_the_loss(exact, blocks):
    """Central differences in random directions, one of each item at a time."""
    score = CDS(contrast=2.0, patches=9, temperature=0.3, blocks=blocks)
    slope = structure_part(exact, score)
    _, *others = asked(exact)
    step = 1e-5
    for seed in range(3):
        way = normal(10 + seed)
        with torch.no_grad():
            high, low = (score.structure_loss(exact, Z + sign * step * way, *others)
                         for sign in (1, -1))  # fmt: skip
        expected = 2.0 * 64 * (high - low) / (2 * step)
        found = (slope * way).sum((1, 2, 3))
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
        assert expected.abs().min() > 1e-4


def test_the_loss_is_that_of_the_attentions_outputs(exact):
    """All places, so that their order does not matter; written out layer by layer."""
    layers = {
        name: module
        for name, module in exact.unet.named_modules()
        if name.endswith("attn1") and name.startswith("up_blocks")
    }
    outputs = {}
    hooks = [
        module.register_forward_hook(
            lambda _m, _i, output, name=name: outputs.update({name: output})
        )
        for name, module in layers.items()
    ]
    sides = []
    for z, prompt in ((Z, "a lion"), (Z_SRC, "a cat")):
        text = exact.embed([prompt]).expand(BATCH, -1, -1)
        exact.predict_noise(exact.schedule.add_noise(z, EPS, T), T, text)
        sides.append(dict(outputs))
    for hook in hooks:
        hook.remove()
    expected = sum(patch_nce(sides[0][name], sides[1][name], 0.07) for name in layers)
    found = CDS(patches=10**6).structure_loss(exact, *asked(exact)).detach()
    torch.testing.assert_close(found, expected)
    # Fewer patches, fewer to be mistaken for: less of a loss.
    assert (CDS(patches=4).structure_loss(exact, *asked(exact)) < found).all()


def test_descent_lowers_the_loss(exact):
    score = CDS(contrast=1.0)
    z, *others = asked(exact)
    before = score.structure_loss(exact, z, *others).detach()
    slope = structure_part(exact, score)
    step = 1e-3 / slope.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    after = score.structure_loss(exact, z - step * slope, *others).detach()
    assert (after < before).all()


def test_an_item_does_not_depend_on_its_batch(exact):
    score = CDS(contrast=2.0, patches=16)
    z, z_src, text, text_src, t, eps = asked(exact)
    together = score(exact, z, z_src, text, text_src, t, eps, 3.0).value
    for i in range(BATCH):
        one = slice(i, i + 1)
        alone = score(exact, z[one], z_src[one], text, text_src, t[one], eps[one], 3.0).value
        torch.testing.assert_close(alone[0], together[i], atol=1e-10, rtol=0)


def test_outside_the_mask_the_gradient_is_zero(exact):
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:5, :] = torch.tensor([0.25, 1.0, 0.5])[:, None]
    free = CDS(contrast=2.0)(exact, *asked(exact), 3.0).value
    held = CDS(contrast=2.0)(exact, *asked(exact), 3.0, mask=mask).value
    torch.testing.assert_close(held, free * mask, atol=0, rtol=0)
    assert (free != 0).all() and (held[..., 5:, :] == 0).all()


def test_the_teacher_is_left_as_it_was(exact):
    modules = [*exact.unet.modules()]
    before = exact.evaluations
    grad = CDS()(exact, *asked(exact), 3.0).value
    assert not grad.requires_grad
    assert exact.evaluations - before == 4 * BATCH + 2 * BATCH
    assert not any(module._forward_hooks for module in modules)
    assert all(p.grad is None and not p.requires_grad for p in exact.unet.parameters())
    with pytest.raises(RuntimeError):
        CDS()(exact, Z[..., 0], Z_SRC[..., 0], *asked(exact)[2:5], EPS[..., 0], 1.0)
    assert not any(module._forward_hooks for module in modules)


@pytest.mark.parametrize(
    ("dtype", "close"), [("float32", 0.99999), ("bfloat16", 0.98), ("float16", 0.999)]
)
def test_other_types_give_the_same_direction(exact, tiny_folder, dtype, close):
    score = CDS(contrast=1.0)
    expected = structure_part(exact, score)
    other = StableDiffusionTeacher.load(str(tiny_folder), device="cpu", dtype=dtype)
    z, z_src, text, text_src, t, eps = asked(other)
    arguments = z.float(), z_src.float(), text, text_src, t, eps.float(), 3.0
    found = score(other, *arguments)
    assert found.nonfinite == 0 and found.value.dtype == torch.float32
    slope = found.value - DDS()(other, *arguments).value
    cosine = torch.cosine_similarity(slope.double().flatten(1), expected.flatten(1))
    assert cosine.min() > close


def test_it_works_inside_inference_mode(exact):
    expected = CDS()(exact, *asked(exact), 3.0).value
    with torch.inference_mode():
        z, z_src, text, text_src, t, eps = (part.clone() for part in asked(exact))
        found = CDS()(exact, z, z_src, text, text_src, t, eps, 3.0).value
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_a_teacher_without_a_unet_is_refused(teacher):
    z, text = normal(1, 1, 4, 3, 3), teacher.embed(["0"])
    with pytest.raises(UserError, match="score: a Recording has no UNet to look into; give a"):
        CDS()(teacher, z, z, text, text, T[:1], z, 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrast": -1.0}, "contrast: -1.0 is not allowed"),
        ({"patches": 1}, "patches: 1 is not allowed"),
        ({"temperature": 0.0}, "temperature: 0.0 is not allowed"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        CDS(**settings)


def test_blocks_that_are_not_there_are_refused(exact):
    with pytest.raises(UserError, match="blocks: 'down' is not allowed; give one of up, all"):
        CDS(blocks="down")(exact, *asked(exact), 3.0)
