"""Epochs: which sample goes into which batch of which process, and where to go on after a stop.

The order of epoch e is one permutation that follows from (seed, e). Rank r takes every world-th
place of it, so after c batches on each rank the first `c * batch_size * world` places are used up
whatever the number of ranks or workers: a position is one number, and resuming is a slice. With
fixed ranks each has a share of the samples, drawn once, and takes them in the order of the epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from i2i_dds.errors import UserError

log = logging.getLogger(__name__)

_BEFORE = -1
"""An epoch that there is not, for draws that are made once."""


def epoch_order(n: int, seed: int, epoch: int) -> list[int]:
    """The permutation of `range(n)` in which epoch `epoch` goes through n samples."""
    # Odd multipliers keep neighboring (seed, epoch) apart; manual_seed takes 63 bits safely.
    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xD1B54A32D192ED03 + 1) % (1 << 63)
    return torch.randperm(n, generator=torch.Generator().manual_seed(mixed)).tolist()


class EpochPlan:
    """Which samples make up this rank's batches, and how far it has come: a batch sampler.

    Every rank gets the same number of batches; the few places of an epoch's order that fill no
    batch on every rank are dropped (others each epoch). Fewer samples than one batch on every
    rank are repeated to fill one. Batches are lists of (epoch, index).

    Args:
        n: samples.
        batch_size: of each rank.
        seed: of the order.
        rank: this one, below world.
        world: how many ranks there are.
        fixed_ranks: whether each rank has the same samples in every epoch; of one rank that is so
            anyway.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        fixed_ranks: bool = False,
    ) -> None:
        if batch_size < 1:
            raise UserError(f"batch_size: {batch_size} is not allowed; give 1 or more")
        self.n, self.batch_size, self.seed, self.rank, self.world = n, batch_size, seed, rank, world
        # Drawn, for neighbors may be of one kind: every fourth picture of four tasks is of one.
        parts = min(world, n)
        drawn = epoch_order(n, seed, _BEFORE)[rank % parts :: parts] if fixed_ranks else None
        self._share = None if drawn is None else frozenset(drawn)
        self.epoch = 0
        self.consumed = 0  # batches taken of this epoch
        self.resting = True  # at a place to begin from: new, or just restored
        self._ordered: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        """Batches per epoch on each rank."""
        return max(1, self.n // (self.batch_size * self.world))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """What is left of the present epoch."""
        epoch = self.epoch
        for batch in range(self.consumed, len(self)):
            yield [(epoch, index) for index in self.places(epoch, batch)]

    def places(self, epoch: int, batch: int) -> list[int]:
        """Indices of the samples in one of this rank's batches."""
        if self._ordered[0] != epoch:
            self._ordered = (epoch, self._own(epoch_order(self.n, self.seed, epoch)))
        own, first = self._ordered[1], batch * self.batch_size
        return [own[place % len(own)] for place in range(first, first + self.batch_size)]

    def _own(self, order: list[int]) -> list[int]:
        """What of an epoch's order is this rank's."""
        if self._share is not None:
            return [index for index in order if index in self._share]
        repeated = max(len(order), self.batch_size * self.world)
        return [order[place % len(order)] for place in range(self.rank, repeated, self.world)]

    def begin(self) -> None:
        """Turns to the next epoch, unless there is a place to go on from."""
        if not self.resting or self.consumed >= len(self):
            self.epoch, self.consumed = self.epoch + 1, 0
        self.resting = False

    def state_dict(self) -> dict[str, int]:
        """The position, in numbers that hold for any number of ranks and workers."""
        samples = self.consumed * self.batch_size * self.world
        return {"n": self.n, "seed": self.seed, "epoch": self.epoch, "samples": samples}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes to a saved position.

        Raises:
            UserError: it belongs to other data, or lies inside a batch of this size.
        """
        if (state["n"], state["seed"]) != (self.n, self.seed):
            raise UserError(
                f"ckpt_path: its data had {state['n']} pictures and seed {state['seed']}, these "
                f"have {self.n} and {self.seed}; resume with the same data"
            )
        taken, rest = divmod(state["samples"], self.batch_size * self.world)
        if rest:
            raise UserError(
                f"batch_size: the checkpoint stopped after {state['samples']} pictures, no "
                f"multiple of {self.batch_size} x {self.world} processes; resume with its own"
            )
        self.epoch, self.consumed, self.resting = state["epoch"], taken, True


class EpochLoader:
    """Batches of a map-style data set by an `EpochPlan`, resumable at any batch.

    Lightning saves and restores it by `state_dict` and `load_state_dict`. It keeps the count of
    epochs itself: Lightning counts one that `max_steps` broke off as done, and would skip its rest.

    Args:
        dataset: has a length and takes (epoch, index).
        collate: from a list of items to a batch, whose entry "broken" names what was unreadable.
        plan: for `len(dataset)` samples.
        num_workers: loading processes; 0 loads here.
        max_broken: how many unreadable samples this process may meet before it gives up; one that
            it meets in every epoch counts once.

    Attributes:
        broken: the names of those that it met.
    """

    def __init__(
        self,
        dataset: Dataset,
        collate: Callable[[list[Any]], dict[str, Any]],
        plan: EpochPlan,
        num_workers: int = 0,
        max_broken: int = 16,
    ) -> None:
        if num_workers < 0:
            raise UserError(f"num_workers: {num_workers} is not allowed; give 0 or more")
        self.plan = plan
        self.max_broken = max_broken
        self.broken: list[str] = []
        # The loader must not refer back to this object: workers of a loader that only the cycle
        # collector can free are waited for, five seconds each.
        self._loader = DataLoader(
            dataset,
            batch_sampler=plan,
            collate_fn=collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            # iter(DataLoader) draws a seed; from the global generator, that would break resuming.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Batches per epoch on each rank."""
        return len(self.plan)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rest of the present epoch, or the next epoch when this one was begun before."""
        self.plan.begin()
        for batch in self._loader:
            self._count_broken(batch)
            self.plan.consumed += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """See `EpochPlan.state_dict`; and the names of what could not be read."""
        return {**self.plan.state_dict(), "broken": list(self.broken)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `EpochPlan.load_state_dict`."""
        self.plan.load_state_dict(state)
        self.broken = list(state.get("broken", []))

    def _count_broken(self, batch: dict[str, Any]) -> None:
        met = batch.get("broken", [])
        for name in met:
            if name not in self.broken:
                log.warning("%s cannot be decoded; another picture takes its place", name)
                self.broken.append(name)
        # In one batch also those that are met again: where none can be read, items are black.
        if max(len(self.broken), len(met)) > self.max_broken:
            raise UserError(
                f"max_broken: more than {self.max_broken} pictures could not be decoded "
                f"(the first is {self.broken[0]}); make the shards again or allow more"
            )
