from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from i2i_dds.data.epochs import EpochLoader, EpochPlan, epoch_order
from i2i_dds.errors import UserError


class Numbers(Dataset):
    """Items are (epoch, index) themselves; those in `bad` say they are broken."""

    def __init__(self, n: int, bad: tuple[int, ...] = ()) -> None:
        self.n, self.bad = n, bad

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        return {"place": place, "broken": [f"s:{place[1]}"] if place[1] in self.bad else []}


def joined(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "places": [item["place"] for item in items],
        "broken": [name for item in items for name in item["broken"]],
    }


def loader(
    n: int = 24,
    batch_size: int = 3,
    bad: tuple[int, ...] = (),
    num_workers: int = 0,
    max_broken: int = 16,
    **more: int,
) -> EpochLoader:
    plan = EpochPlan(n, batch_size, **more)
    return EpochLoader(Numbers(n, bad), joined, plan, num_workers, max_broken)


def epochs(loader: EpochLoader, count: int) -> list[list[tuple[int, int]]]:
    return [batch["places"] for _ in range(count) for batch in loader]


def test_epoch_order_is_a_permutation_by_seed_and_epoch() -> None:
    orders = {(s, e): epoch_order(50, s, e) for s in (0, 1, -1) for e in range(3)}
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 9
    assert epoch_order(50, 1, 2) == orders[1, 2]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_each_sample_goes_to_one_rank_once_an_epoch(workers: int, world: int) -> None:
    ranks = [loader(rank=r, world=world, num_workers=workers) for r in range(world)]
    assert {len(rank) for rank in ranks} == {24 // 3 // world}
    for epoch in range(2):
        places = [place for rank in ranks for batch in epochs(rank, 1) for place in batch]
        assert sorted(places) == [(epoch, index) for index in range(24)]


@pytest.mark.parametrize(("n", "world"), [(24, 1), (24, 2), (26, 4), (2, 3)])
def test_fixed_ranks_have_the_same_samples_in_every_epoch(n: int, world: int) -> None:
    size = 3 if n > world else 1
    ranks = [loader(n, size, rank=r, world=world, fixed_ranks=True, seed=1) for r in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    seen = [[epochs(rank, 1) for _ in range(12)] for rank in ranks]
    own = [{index for some in rank for batch in some for _, index in batch} for rank in seen]
    for rank, mine in zip(seen, own, strict=True):
        assert all(
            len({i for batch in some for _, i in batch}) == len(some) * size for some in rank
        )
        assert len(mine) <= -(-n // world) or world > n
        if n > 2:
            assert [i for b in rank[0] for _, i in b] != [i for b in rank[1] for _, i in b]
    assert set.union(*own) == set(range(n))
    assert sum(map(len, own)) == max(n, world)
    if world == 4:  # and not every fourth of them
        assert all(len({index % 4 for index in mine}) > 1 for mine in own)


def test_fixed_ranks_of_one_process_change_nothing() -> None:
    assert epochs(loader(fixed_ranks=True), 3) == epochs(loader(), 3)


def test_leftovers_are_dropped_evenly_and_few_samples_repeated() -> None:
    ranks = [loader(n=23, rank=r, world=2) for r in range(2)]
    seen = Counter(p for rank in ranks for batch in epochs(rank, 1) for p in batch)
    assert len(seen) == 18 and set(seen.values()) == {1}
    (batch,) = epochs(loader(n=2, batch_size=5), 1)
    assert len(batch) == 5 and set(batch) == {(0, 0), (0, 1)}


def test_workers_do_not_change_the_batches() -> None:
    assert epochs(loader(num_workers=2), 3) == epochs(loader(), 3)


@pytest.mark.parametrize(("stop", "workers"), [*((n, 0) for n in range(17)), (3, 2), (8, 2)])
def test_resuming_goes_on_with_the_next_batch(stop: int, workers: int) -> None:
    whole = epochs(loader(seed=5), 4)
    first = loader(seed=5, num_workers=workers)
    taken: list[Any] = []
    while len(taken) < stop:
        for batch in first:
            taken.append(batch["places"])
            if len(taken) == stop:
                break
    state = first.state_dict()
    second = loader(seed=5)
    second.load_state_dict(state)
    rest = epochs(second, 1)
    assert taken + rest == whole[: len(taken + rest)]
    assert taken + rest + epochs(second, 1) == whole[: len(taken + rest) + 8]


def test_resuming_on_another_number_of_ranks_repeats_and_skips_nothing() -> None:
    two = [loader(rank=r, world=2) for r in range(2)]
    seen = []
    for rank in two:
        batches = iter(rank)
        seen += [*next(batches)["places"], *next(batches)["places"]]
    one = loader()
    one.load_state_dict(two[1].state_dict())
    seen += [place for batch in epochs(one, 1) for place in batch]
    assert sorted(seen) == [(0, index) for index in range(24)]


def test_resuming_with_other_data_is_refused() -> None:
    state = loader().state_dict()
    with pytest.raises(UserError, match="ckpt_path: its data had 24 pictures and seed 0"):
        loader(n=25).load_state_dict(state)
    with pytest.raises(UserError, match="ckpt_path"):
        loader(seed=1).load_state_dict(state)
    with pytest.raises(UserError, match="batch_size: the checkpoint stopped after 3"):
        loader(batch_size=2).load_state_dict({**state, "samples": 3})


def test_a_broken_off_epoch_is_followed_by_the_next() -> None:
    numbers = loader()
    next(iter(numbers))
    assert {epoch for batch in epochs(numbers, 1) for epoch, _ in batch} == {1}


@pytest.mark.parametrize("workers", [0, 1])
def test_iterating_leaves_the_global_random_numbers_alone(workers: int) -> None:
    before = torch.random.get_rng_state()
    next(iter(loader(num_workers=workers)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_broken_samples_are_counted_once_and_refused_past_a_limit(caplog) -> None:
    numbers = loader(bad=(3, 4), max_broken=2)
    epochs(numbers, 3)  # the same two in every epoch
    assert sorted(numbers.broken) == ["s:3", "s:4"]
    assert caplog.text.count("cannot be decoded") == 2
    resumed = loader(bad=(3, 4), max_broken=1)
    resumed.load_state_dict(numbers.state_dict())
    assert sorted(resumed.broken) == ["s:3", "s:4"]
    with pytest.raises(UserError, match="max_broken: more than 1 .* first is s:[34]"):
        epochs(resumed, 1)


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"num_workers": -1}])
def test_impossible_counts_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"^{next(iter(bad))}: "):
        loader(**bad)
