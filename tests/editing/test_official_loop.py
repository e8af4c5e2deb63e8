"""Our optimization against the official DDS notebook's, written out here on its own."""

from dataclasses import replace

import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.sds import SDS
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

SEED, STEPS, SIDE = 5, 20, 8


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    # Float64, so that what is compared is the method: random networks amplify rounding.
    folder = build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")
    teacher = StableDiffusionTeacher.load(str(folder), device="cpu", dtype="float64")
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z_src = teacher.encode(x * 2 - 1) + randn(item_generators(1, [0]), (4, SIDE, SIDE))
    return teacher, z_src, teacher.embed(["a lion"]), teacher.embed(["a cat"])


def official(teacher, z_src, text, text_src, score):
    """The notebook's loop: SGD, lr 0.1, loss 2000 * (z * g).sum() / (H * W), scale 7.5."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    abar, empty = (1 - betas).cumprod(0), teacher.embed([""])
    empty, text, text_src = (told.embeddings for told in (empty, text, text_src))
    (generator,), z = item_generators(SEED, [0]), z_src.clone().requires_grad_()
    for _ in range(STEPS):
        t = torch.randint(50, 949, (1,), generator=generator)
        eps = torch.randn(1, 4, SIDE, SIDE, generator=generator)
        with torch.no_grad():
            z_t = [abar[t].sqrt() * side + (1 - abar[t]).sqrt() * eps for side in (z, z_src)]
            u, c = ([teacher.unet(a, t, b).sample for a, b in zip(z_t, y, strict=True)]
                    for y in ((empty, empty), (text, text_src)))  # fmt: skip
            g = u[0] + 7.5 * (c[0] - u[0]) - (
                u[1] + 7.5 * (c[1] - u[1]) if score == "dds" else eps)  # fmt: skip
        loss = 2000 * (z * g).sum() / SIDE**2
        z = (z - 0.1 * torch.autograd.grad(loss, z)[0]).detach().requires_grad_()
    return z.detach()


def ours(teacher, z_src, text, text_src, score):
    batch = EditBatch(z_src, text_src, text, item_generators(SEED, [0]))
    return finish(LatentOptimization(score, STEPS, lr=200 / SIDE**2)(teacher, batch)).z


@pytest.mark.parametrize(("name", "score"), [("dds", DDS()), ("sds", SDS())])
def test_twenty_iterations_give_the_official_latent(setting, name, score):
    expected = official(*setting, name)
    found = ours(*setting, score)
    assert (found - setting[1]).abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_comparison_notices_another_noise_on_the_source_side(setting):
    teacher, z_src, text, text_src = setting

    def two_noises(teacher, inputs):
        z, text, eps = inputs.z_src, inputs.text_src, inputs.eps.flip(-1)
        source = replace(inputs, z_tgt=z, text_tgt=text, eps=eps)
        return SDS()(teacher, inputs) - SDS()(teacher, source)

    assert (ours(*setting, two_noises) - official(*setting, "dds")).abs().max() > 1e-2
