import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.diffusion.timesteps import (
    DescendingTimesteps,
    LowVarianceTimesteps,
    StratifiedTimesteps,
    UniformTimesteps,
)
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


def drawn(sampler, steps, generators):
    """Timesteps (steps, B)."""
    return torch.stack([sampler(step, steps, generators) for step in range(steps)])


def test_each_run_of_steps_visits_every_stratum_once():
    t = drawn(StratifiedTimesteps(50, 950, strata=9), 45, item_generators(0, range(20)))
    runs = ((t - 50) // 100).reshape(5, 9, 20)
    expected = torch.arange(9)[None, :, None].expand(5, 9, 20)
    assert torch.equal(runs.sort(dim=1).values, expected)
    orders = {tuple(order) for order in runs.movedim(1, 2).flatten(0, 1).tolist()}
    assert len(orders) > 95  # of 100; another one for each item and run


def test_a_steps_stratified_timestep_is_uniform_where_the_strata_share_timesteps():
    """Ten timesteps in four parts of 2.5: an ordinary one is 4 of 40, a halved one 2 + 2."""
    sampler = StratifiedTimesteps(0, 10, strata=4)
    t = sampler(2, 4, item_generators(0, range(20_000)))
    counts = t.bincount(minlength=10)
    # Each is 2,000 with a standard deviation of 42.
    assert len(counts) == 10 and (counts - 2000).abs().max() < 170
    whole = drawn(sampler, 4, item_generators(1, range(200))).sort(dim=0).values
    for part, (low, high) in enumerate([(0, 2), (2, 4), (5, 7), (7, 9)]):
        assert (whole[part].min(), whole[part].max()) == (low, high)


def test_one_stratum_is_the_uniform_sampler_to_the_number():
    uniform, one = UniformTimesteps(), StratifiedTimesteps(strata=1)
    assert torch.equal(
        drawn(uniform, 9, item_generators(0, [0, 1])), drawn(one, 9, item_generators(0, [0, 1]))
    )


def test_golden_steps_leave_gaps_of_two_lengths_only():
    """13 = F(7) points in a row leave 8 gaps of phi^-5 and 5 of phi^-6 on the circle."""
    phi, span = (1 + 5**0.5) / 2, 10**6
    t = drawn(LowVarianceTimesteps(0, span), 40, item_generators(0, range(8))).double() / span
    expected = torch.tensor([phi**-6] * 5 + [phi**-5] * 8, dtype=torch.float64)
    for first in (0, 1, 27):
        points = t[first : first + 13].sort(dim=0).values
        gaps = torch.cat([points.diff(dim=0), 1 + points[:1] - points[-1:]]).sort(dim=0).values
        torch.testing.assert_close(gaps, expected[:, None].expand_as(gaps), atol=2 / span, rtol=0)


def test_golden_steps_are_uniform_over_items_and_draw_nothing():
    generators = item_generators(0, range(9_000))
    sampler, states = LowVarianceTimesteps(50, 59), [g.get_state() for g in generators[:3]]
    for step in (0, 57):
        counts = sampler(step, 80, generators).bincount()[50:]
        # Each is 1,000 with a standard deviation of 30.
        assert len(counts) == 9 and (counts - 1000).abs().max() < 120
    for before, generator in zip(states, generators, strict=False):
        assert torch.equal(before, generator.get_state())


@pytest.mark.parametrize(
    ("sampler", "part"),
    [(StratifiedTimesteps(50, 950, strata=9), 100), (LowVarianceTimesteps(), 1)],
)
def test_an_items_plan_depends_on_its_seed_alone(sampler, part):
    """Not on its batch, nor on what else, such as noise, is drawn between the steps."""
    together, alone = item_generators(3, ["a", "b"]), item_generators(3, ["b"])
    t = drawn(sampler, 25, together)
    assert torch.equal(t[:, 1:], drawn(sampler, 25, alone))
    assert not torch.equal(t[:, 0], t[:, 1])
    (busy,) = item_generators(3, ["b"])
    for step in range(25):
        torch.randn(7, generator=busy)
        assert (sampler(step, 25, [busy]) - 50) // part == (t[step, 1] - 50) // part


@pytest.mark.parametrize("strata", [0, -2])
def test_no_strata_are_refused(strata):
    with pytest.raises(UserError, match=f"strata: {strata} is not allowed"):
        StratifiedTimesteps(strata=strata)


@pytest.mark.parametrize(
    "kind", [UniformTimesteps, DescendingTimesteps, StratifiedTimesteps, LowVarianceTimesteps]
)
@pytest.mark.parametrize(("t_min", "t_max", "key"), [(-1, 10, "t_min"), (10, 10, "t_max")])
def test_an_empty_or_negative_range_is_refused(kind, t_min, t_max, key):
    with pytest.raises(UserError, match=key):
        kind(t_min, t_max)
