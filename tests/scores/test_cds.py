"""CDS on a tiny untrained UNet, in float64 where numbers are compared."""

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.scores.cds import CDS
from i2i_dds.scores.contrast import patch_nce
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.gradient import guarded
from i2i_dds.scores.interface import ScoreInput
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


def asked(teacher, **others):
    known = {"z_tgt": Z, "z_src": Z_SRC, "t": T, "eps": EPS}
    known |= {"text_tgt": teacher.embed(["a lion"]), "text_src": teacher.embed(["a cat"])}
    return ScoreInput(**{**known, "guidance_scale": 3.0, **others})


def structure_part(teacher, score):
    """CDS minus DDS."""
    return score(teacher, asked(teacher)) - DDS(score.weight)(teacher, asked(teacher))


def test_without_its_loss_cds_is_dds_to_the_bit(exact):
    before = exact.nfe
    found = CDS(lambda_contrastive=0.0, weight=sigma2)(exact, asked(exact))
    assert exact.nfe - before == 4 * BATCH
    assert torch.equal(found, DDS(sigma2)(exact, asked(exact)))


def test_the_structure_term_is_not_weighed(exact):
    """What CDS adds to DDS is the same, whatever w(t) is."""
    plain = structure_part(exact, CDS(lambda_contrastive=2.0, patches=9))
    weighed = structure_part(exact, CDS(lambda_contrastive=2.0, patches=9, weight=sigma2))
    torch.testing.assert_close(weighed, plain, atol=1e-12, rtol=0)
    assert plain.abs().max() > 1e-4


def test_an_entry_that_both_parts_break_counts_once(exact, monkeypatch):
    def broken(self, teacher, inputs):
        slope = torch.zeros_like(inputs.z_tgt)
        slope[0, 0, 0, :2] = torch.nan
        return slope

    monkeypatch.setattr(CDS, "_slope", broken)
    whole = CDS()(exact, asked(exact))
    predict = exact.predict_noise

    def spoilt(z_t, t, text):
        eps = predict(z_t, t, text)
        eps[0, 0, 0, 1:3] = torch.nan
        return eps

    monkeypatch.setattr(exact, "predict_noise", spoilt)
    grad = guarded(CDS()(exact, asked(exact)))
    assert grad.nonfinite == 3
    expected = whole.clone()
    expected[0, 0, 0, :3] = 0.0
    assert torch.equal(grad.value, expected)


@pytest.mark.parametrize("blocks", ["up", "all"])
def test_the_gradient_is_the_slope_of_the_loss(exact, blocks):
    """Central differences in random directions, one of each item at a time."""
    score = CDS(lambda_contrastive=2.0, patches=9, temperature=0.3, blocks=blocks)
    slope = structure_part(exact, score)
    step = 1e-5
    for seed in range(3):
        way = normal(10 + seed)
        with torch.no_grad():
            high, low = (score.structure_loss(exact, asked(exact, z_tgt=Z + sign * step * way))
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
        text = exact.embed([prompt]).expand(BATCH)
        exact.predict_noise(exact.process.mix(z, EPS, T), T, text)
        sides.append(dict(outputs))
    for hook in hooks:
        hook.remove()
    expected = sum(patch_nce(sides[0][name], sides[1][name], 0.07) for name in layers)
    found = CDS(patches=10**6).structure_loss(exact, asked(exact)).detach()
    torch.testing.assert_close(found, expected)
    # Fewer patches, fewer to be mistaken for: less of a loss.
    assert (CDS(patches=4).structure_loss(exact, asked(exact)) < found).all()


def test_descent_lowers_the_loss(exact):
    score = CDS(lambda_contrastive=1.0)
    before = score.structure_loss(exact, asked(exact)).detach()
    slope = structure_part(exact, score)
    step = 1e-3 / slope.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    after = score.structure_loss(exact, asked(exact, z_tgt=Z - step * slope)).detach()
    assert (after < before).all()


def test_an_item_does_not_depend_on_its_batch(exact):
    score = CDS(lambda_contrastive=2.0, patches=16)
    together = score(exact, asked(exact))
    for i in range(BATCH):
        one = slice(i, i + 1)
        own = {"z_tgt": Z[one], "z_src": Z_SRC[one], "t": T[one], "eps": EPS[one]}
        alone = score(exact, asked(exact, **own))
        torch.testing.assert_close(alone[0], together[i], atol=1e-10, rtol=0)


def test_outside_the_mask_the_gradient_is_zero(exact):
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:5, :] = torch.tensor([0.25, 1.0, 0.5])[:, None]
    free = CDS(lambda_contrastive=2.0)(exact, asked(exact))
    held = guarded(CDS(lambda_contrastive=2.0)(exact, asked(exact)), mask).value
    torch.testing.assert_close(held, free * mask, atol=0, rtol=0)
    assert (free != 0).all() and (held[..., 5:, :] == 0).all()


def test_the_teacher_is_left_as_it_was(exact):
    modules = [*exact.unet.modules()]
    before = exact.nfe
    grad = CDS()(exact, asked(exact))
    assert not grad.requires_grad
    assert exact.nfe - before == 4 * BATCH + 2 * BATCH
    assert not any(module._forward_hooks for module in modules)
    assert all(p.grad is None and not p.requires_grad for p in exact.unet.parameters())
    with pytest.raises(RuntimeError):
        flat = {"z_tgt": Z[..., 0], "z_src": Z_SRC[..., 0], "eps": EPS[..., 0]}
        CDS()(exact, asked(exact, **flat, guidance_scale=1.0))
    assert not any(module._forward_hooks for module in modules)


@pytest.mark.parametrize(
    ("dtype", "close"), [("float32", 0.99999), ("bfloat16", 0.98), ("float16", 0.999)]
)
def test_other_types_give_the_same_direction(exact, tiny_folder, dtype, close):
    score = CDS(lambda_contrastive=1.0)
    expected = structure_part(exact, score)
    other = StableDiffusionTeacher.load(str(tiny_folder), device="cpu", dtype=dtype)
    inputs = asked(other, z_tgt=Z.float(), z_src=Z_SRC.float(), eps=EPS.float())
    found = score(other, inputs)
    assert torch.isfinite(found).all() and found.dtype == torch.float32
    slope = found - DDS()(other, inputs)
    cosine = torch.cosine_similarity(slope.double().flatten(1), expected.flatten(1))
    assert cosine.min() > close


def test_it_works_inside_inference_mode(exact):
    expected = CDS()(exact, asked(exact))
    with torch.inference_mode():
        given = vars(asked(exact)).items()
        tensors = {name: part for name, part in given if hasattr(part, "clone")}
        found = CDS()(exact, asked(exact, **{name: x.clone() for name, x in tensors.items()}))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_a_teacher_without_a_unet_is_refused(teacher):
    z, text = normal(1, 1, 4, 3, 3), teacher.embed(["0"])
    with pytest.raises(
        UserError, match="score: a Recording has no self-attention to look into; give a"
    ):
        inputs = ScoreInput(
            z_tgt=z, z_src=z, text_tgt=text, text_src=text, t=T[:1], eps=z, guidance_scale=1.0
        )
        CDS()(teacher, inputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lambda_contrastive": -1.0}, "lambda_contrastive: -1.0 is not allowed"),
        ({"patches": 1}, "patches: 1 is not allowed"),
        ({"temperature": 0.0}, "temperature: 0.0 is not allowed"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        CDS(**settings)


def test_blocks_that_are_not_there_are_refused(exact):
    with pytest.raises(UserError, match="blocks: 'down' is not allowed; give one of up, all"):
        CDS(blocks="down")(exact, asked(exact))
