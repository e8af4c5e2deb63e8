"""Several processes as one: which of them this is, and what the others found.

PyTorch is imported when a function needs it, so that a command's ``--help`` does not wait for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from i2i_dds.errors import UserError


def get_rank_and_world_size() -> tuple[int, int]:
    """This process's rank in the process group and the group's size; (0, 1) outside of one."""
    # Whoever joined a group has imported this, here or elsewhere.
    dist = sys.modules.get("torch.distributed")
    if dist is not None and dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def launched_rank() -> int:
    """The rank that torchrun, SLURM or Lightning's launcher gave, with or without a group yet."""
    names = ("RANK", "LOCAL_RANK", *(["SLURM_PROCID"] if _is_slurm_task() else []))
    for name in names:
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    return 0


def launched_world_size() -> int:
    """How many processes were started together, by torchrun or by SLURM."""
    if os.environ.get("WORLD_SIZE", "").isdecimal():
        return int(os.environ["WORLD_SIZE"])
    return int(os.environ["SLURM_NTASKS"]) if _is_slurm_task() else 1


def _is_slurm_task() -> bool:
    """Whether this is one of several tasks of srun, and not a shell that SLURM gave."""
    several = os.environ.get("SLURM_NTASKS", "").isdecimal() and os.environ["SLURM_NTASKS"] != "1"
    return several and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")


def gather(value: Any) -> list[Any]:
    """Every process's value, in the order of the ranks; all must call it."""
    _, world_size = get_rank_and_world_size()
    if world_size == 1:
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * world_size
    dist.all_gather_object(values, value)
    return values


def on_rank_zero(action: Callable[[], None]) -> None:
    """Lets the first process act while the others wait; all must call it.

    Raises:
        UserError: The first process did; on all, so that none waits for one that has left.
    """
    refusal = None
    if get_rank_and_world_size()[0] == 0:
        try:
            action()
        except UserError as error:
            refusal = error
    refusal = gather(refusal)[0]
    if refusal is not None:
        raise refusal


@contextmanager
def process_group() -> Iterator[tuple[int, int]]:
    """Joins the processes that torchrun started, if it did; yields (rank, world size)."""
    import torch.distributed as dist

    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or dist.is_initialized():
        yield get_rank_and_world_size()
        return
    # The first to finish waits for the last, however long that takes.
    dist.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        yield get_rank_and_world_size()
    finally:
        dist.destroy_process_group()
