import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.diffusion.timesteps import DescendingTimesteps, UniformTimesteps
from i2i_dds.errors import UserError


def test_uniform_timesteps_reach_50_and_948_and_no_further():
    t = UniformTimesteps()(0, 1, item_generators(0, [0]) * 20_000)
    assert t.dtype == torch.long
    assert (t.min(), t.max()) == (50, 948)
    # The mean of 20,000 draws, 499, has a standard deviation of 1.8.
    assert abs(t.float().mean() - 499) < 10


def test_uniform_timesteps_come_from_each_items_own_generator():
    sampler = UniformTimesteps()
    together, alone = item_generators(3, ["a", "b"]), item_generators(3, ["b"])
    for step in range(3):
        assert sampler(step, 3, together)[1] == sampler(step, 3, alone)[0]


def test_descending_timesteps_go_from_the_top_to_the_bottom():
    generators = item_generators(0, [0, 1])
    sampler = DescendingTimesteps(50, 949)
    t = [sampler(step, 200, generators) for step in range(200)]
    assert t[0].tolist() == [948, 948]
    assert t[-1].tolist() == [50, 50]
    assert all((above > below).all() for above, below in zip(t, t[1:], strict=False))
    assert sampler(0, 1, generators).tolist() == [948, 948]


@pytest.mark.parametrize("kind", [UniformTimesteps, DescendingTimesteps])
@pytest.mark.parametrize(("t_min", "t_max", "key"), [(-1, 10, "t_min"), (10, 10, "t_max")])
def test_an_empty_or_negative_range_is_refused(kind, t_min, t_max, key):
    with pytest.raises(UserError, match=key):
        kind(t_min, t_max)
