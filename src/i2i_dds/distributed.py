"""Several processes as one: which of them this is, and what the others found.

PyTorch is imported when a function needs it, so that a command's ``--help`` does not wait for it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import count
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
    return next((rank for rank in map(_number, names) if rank is not None), 0)


def launched_local_rank() -> int | None:
    """The number that the launcher gave to this process among those of its machine, if any did."""
    numbers = map(_number, ("LOCAL_RANK", "SLURM_LOCALID"))
    return next((number for number in numbers if number is not None), None)


def launched_world_size() -> int:
    """How many processes were started together, by torchrun or by SLURM."""
    world_size = _number("WORLD_SIZE")
    if world_size is not None:
        return world_size
    return _number("SLURM_NTASKS") or 1 if _is_slurm_task() else 1


def _is_slurm_task() -> bool:
    """Whether this is one of several tasks of srun, and not a shell that SLURM gave."""
    several = (_number("SLURM_NTASKS") or 1) > 1
    # The script that sbatch runs has the variables of its job's tasks, and is none of them.
    script = "SLURM_SUBMIT_DIR" in os.environ and "SLURM_STEP_ID" not in os.environ
    return (
        several and not script and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")
    )


def _number(name: str) -> int | None:
    """The environment variable, where it is a number."""
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else None


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
    """Joins the processes that torchrun or srun started, if one did; yields (rank, world size).

    Raises:
        UserError: Not all of them have come, as where a script of sbatch starts one without srun.
    """
    import torch.distributed as dist

    rank, world_size = launched_rank(), launched_world_size()
    if world_size <= 1 or dist.is_initialized():
        yield get_rank_and_world_size()
        return
    # The first to finish waits for the last, however long that takes.
    forever = timedelta(days=7)
    store = None
    if _number("WORLD_SIZE") is None:
        from torch.distributed import PrefixStore

        store = PrefixStore(str(next(_meetings)), _slurm_store(rank, world_size))
    dist.init_process_group("gloo", timeout=forever, rank=rank, world_size=world_size, store=store)
    try:
        yield get_rank_and_world_size()
    finally:
        dist.destroy_process_group()


MEETING = timedelta(minutes=10)
"""How long processes of srun wait for one another when they begin."""

_meetings = count()
"""Of this process; a sweep has one for each job."""


@cache
def _slurm_store(rank: int, world_size: int) -> Any:
    """Where the tasks of srun meet: at the first one's machine, by a port of their step's own."""
    from torch.distributed import DistError, TCPStore

    host, port = slurm_address()
    try:
        store = TCPStore(host, port, world_size, is_master=rank == 0, timeout=MEETING)
        store.set_timeout(timedelta(days=7))
        return store
    except (DistError, RuntimeError) as error:
        raise UserError(
            f"SLURM_NTASKS: not all {world_size} processes met at {host}:{port} within "
            f"{MEETING}; start them together by srun, or one with SLURM_NTASKS=1"
        ) from error


def slurm_address() -> tuple[str, int]:
    """Host and port where the tasks of a step of srun meet, the same on all.

    MASTER_ADDR and MASTER_PORT count before what follows from the step's list of machines and
    its number.
    """
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST", "127.0.0.1")
    first = re.match(r"([^,\[]+)(?:\[(\w+)[^\]]*\])?([^,]*)", nodes)  # gpu[03-07,9]-ib,login
    host = nodes if first is None else "".join(part or "" for part in first.groups())
    step = 100 * (_number("SLURM_JOB_ID") or 0) + (_number("SLURM_STEP_ID") or 0)
    return (
        os.environ.get("MASTER_ADDR") or host,
        _number("MASTER_PORT") or 15000 + step % 15000,
    )
