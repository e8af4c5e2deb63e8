"""Attention probabilities beside an ordinary pass: those that the layers use."""

import pytest
import torch
import torch.nn.functional as F

from i2i_dds.teacher.attention import Asked, attention_of, mean_map, sizes_below
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")
    return StableDiffusionTeacher.load(str(folder), device="cpu", dtype="float64")


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def test_probabilities_make_the_layers_own_outputs(tiny):
    """The layer's output by its own processor, and by the probabilities of each head."""
    names = [n for n, _ in tiny.unet.named_modules() if n.endswith((".attn1", ".attn2"))]
    layers = [tiny.unet.get_submodule(name) for name in names]
    outputs, text = {}, tiny.embed(["a cat", "a lion"])
    hooks = [
        layer.register_forward_hook(lambda m, _i, output: outputs.update({m: output}))
        for layer in layers
    ]
    with attention_of(layers) as asked:
        tiny.predict_noise(normal(1, 2, 4, 8, 8), torch.tensor([50, 900]), text)
    for hook in hooks:
        hook.remove()
    assert not any(layer._forward_pre_hooks for layer in layers)
    for layer in layers:
        one = asked[layer]
        keys = one.hidden if one.tokens is None else one.tokens
        found = one.probabilities()
        assert found.shape == (2, one.places, keys.shape[1])
        torch.testing.assert_close(found.sum(2), torch.ones_like(found[..., 0]))
        heads = [
            x.unflatten(2, (layer.heads, -1)).transpose(1, 2)
            for x in (layer.to_q(one.hidden), layer.to_k(keys), layer.to_v(keys))
        ]
        by_hand = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        torch.testing.assert_close(layer.to_out[0](by_hand), outputs[layer], atol=1e-10, rtol=0)
        query, key, _ = heads
        expected = (query @ key.transpose(2, 3) * layer.scale).softmax(-1).mean(1)
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_asking_for_maps_changes_nothing_and_counts(tiny):
    z_t, t, text = normal(1, 2, 4, 8, 8), torch.tensor([50, 900]), tiny.embed(["a cat", "a dog"])
    plain, before = tiny.predict_noise(z_t, t, text), tiny.nfe
    maps = tiny.attention_maps(z_t, t, text)
    assert tiny.nfe - before == 2
    assert torch.equal(tiny.predict_noise(z_t, t, text), plain)
    places = maps.own_size[0] * maps.own_size[1]
    assert maps.own.shape == (2, places, places)
    assert maps.cross.shape[:2] == (2, text.embeddings.shape[1])
    total = maps.cross.sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_sizes_are_halved_as_convolutions_round():
    assert sizes_below((8, 5)) == [(8, 5), (4, 3), (2, 2), (1, 1)]


class Layer:
    heads = 1

    def __init__(self, value):
        self.value = value

    def head_to_batch_dim(self, x):
        return x

    def to_q(self, x):
        return x

    to_k = to_q

    def get_attention_scores(self, query, key):
        return torch.full((len(query), query.shape[1], key.shape[1]), self.value)


def test_the_coarser_layers_stand_in_for_a_size_that_is_missing():
    sizes = sizes_below((8, 8))
    asked = [
        Asked(Layer(value), torch.zeros(1, places, 2), None)
        for value, places in ((1.0, 64), (2.0, 4), (4.0, 4))
    ]
    found = {halvings: mean_map(asked, sizes, halvings) for halvings in (0, 1, 2, 3)}
    assert [size for _, size in found.values()] == [(8, 8), (2, 2), (2, 2), (2, 2)]
    assert [one.unique().item() for one, _ in found.values()] == [1.0, 3.0, 3.0, 3.0]
