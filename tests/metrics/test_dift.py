"""Features from inside the UNet: the average of single noises, the same in every batch."""

import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.errors import UserError
from i2i_dds.metrics.dift import dift_features
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")
    return StableDiffusionTeacher.load(str(folder), device="cpu")


@pytest.fixture
def x(teacher):
    side = teacher.vae_scale_factor * 8
    return torch.rand(2, 3, side, side) * 2 - 1


def test_features_are_the_mean_of_single_passes(teacher, x):
    text, t = teacher.embed(["a cat"]), 100
    got = dift_features(teacher, x[:1], text, item_generators(0, ["a"]), t, 0, ensemble=3)
    z = teacher.encode(x[:1])
    num_noise = randn(item_generators(0, ["a"]), (3, *z.shape[1:]))[0]
    caught = []
    hook = teacher.unet.up_blocks[0].register_forward_hook(lambda m, i, o: caught.append(o))
    for eps in num_noise:
        z_t = teacher.process.mix(z, eps[None], t)
        teacher.unet(z_t, t, encoder_hidden_states=text.embeddings)
    hook.remove()
    torch.testing.assert_close(got, torch.stack(caught).mean(0))


def test_an_item_does_not_depend_on_its_batch(teacher, x):
    text = teacher.embed(["a cat"])
    both = dift_features(teacher, x, text, item_generators(0, ["a", "b"]), 50, ensemble=2)
    alone = dift_features(teacher, x[1:], text, item_generators(0, ["b"]), 50, ensemble=2)
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)


def test_no_hook_is_left_behind(teacher, x):
    dift_features(teacher, x[:1], teacher.embed([""]), item_generators(0, [0]), 50, ensemble=1)
    assert not any(block._forward_hooks for block in teacher.unet.up_blocks)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"block": 9}, r"^block: 9 is not allowed; .*blocks 0 to \d"),
        ({"block": -1}, r"^block: -1"),
        ({"t": 1000}, r"^t: 1000 is not allowed; give 0 to 999"),
        ({"ensemble": 0}, r"^ensemble: 0"),
    ],
)
def test_what_the_unet_has_not_is_refused(teacher, x, wrong, message):
    with pytest.raises(UserError, match=message):
        dift_features(teacher, x, teacher.embed([""]), item_generators(0, [0, 1]), **wrong)
