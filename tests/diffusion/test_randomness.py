import torch

from i2i_dds.diffusion.randomness import item_generators, randn


def test_an_items_noise_does_not_depend_on_its_batch():
    together = randn(item_generators(7, ["a", "b", "c"]), (4, 2, 2))
    alone = randn(item_generators(7, ["b"]), (4, 2, 2))
    assert torch.equal(together[1], alone[0])


def test_seed_key_and_kind_of_key_all_matter():
    draws = [
        randn(item_generators(seed, [key]), (8,))
        for seed, key in [(0, 1), (1, 1), (0, 2), (0, "1"), (0, 11), (1, 0)]
    ]
    for i, first in enumerate(draws):
        assert all(not torch.equal(first, other) for other in draws[:i])


def test_successive_draws_differ():
    generators = item_generators(0, [0])
    assert not torch.equal(randn(generators, (8,)), randn(generators, (8,)))


def test_the_global_state_neither_matters_nor_changes():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = randn(item_generators(0, [0]), (8,))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(randn(item_generators(0, [0]), (8,)), first)


def test_every_type_holds_the_same_numbers():
    single = randn(item_generators(0, [0]), (8,))
    double = randn(item_generators(0, [0]), (8,), dtype=torch.float64)
    assert torch.equal(double, single.double())


def test_the_seeds_are_those_of_earlier_releases():
    seeds = [g.initial_seed() for g in item_generators(0, [0, "cat"])]
    # The first 8 bytes of blake2b of "0/index/0" and "0/text/cat", halved.
    assert seeds == [5501202017492492476, 3879782937193438779]
