"""Several processes as one: who this is, and what the others found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from i2i_dds.errors import UserError


def place() -> tuple[int, int]:
    """This process's rank and how many there are."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather(value: Any) -> list[Any]:
    """Every process's value, in the order of the ranks; all must call it."""
    rank, world = place()
    if world == 1:
        return [value]
    found: list[Any] = [None] * world
    dist.all_gather_object(found, value)
    return found


def on_first(action: Callable[[], None]) -> None:
    """Lets the first process act while the others wait; all must call it.

    Raises:
        UserError: The first process did; on all, so that none waits for one that has left.
    """
    refusal = None
    if place()[0] == 0:
        try:
            action()
        except UserError as error:
            refusal = error
    refusal = gather(refusal)[0]
    if refusal is not None:
        raise refusal


@contextmanager
def process_group() -> Iterator[tuple[int, int]]:
    """Joins the processes that torchrun started, if it did; yields (rank, how many)."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or dist.is_initialized():
        yield place()
        return
    # The first to finish waits for the last, however long that takes.
    dist.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        yield place()
    finally:
        dist.destroy_process_group()
