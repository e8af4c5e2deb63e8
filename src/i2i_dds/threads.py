"""On how many threads of the CPU torch computes: on those that no other program wants.

Threads that wait for one another while other programs run burn many times the work. So a command
takes the cores that are free when it starts, and its threads soon sleep where they wait.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AUTO = "auto"
"""As many threads as there are free cores."""

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "10000"}
"""How torch's threads wait for one another: they look on for some tenths of a millisecond, which is
what it mostly takes, and then they sleep. By default they look on for much longer, and beside other
programs that takes many times the CPU time of the work. To sleep at once takes longer than to wait:
the small calls of a teacher's network would take twice as long, on cores that are free."""

_NAME = "OMP_NUM_THREADS"
_SAMPLES, _PAUSE = 9, 0.01  # looks at what runs, and seconds between them


def wait_briefly() -> None:
    """Has torch's threads wait so, unless the environment says how; before torch is imported."""
    if not WAITING.keys() & os.environ.keys():
        os.environ.update(WAITING)


@contextmanager
def cpu_threads(count: int | str | None) -> Iterator[None]:
    """Within it, torch computes on so many threads of the CPU.

    Torch is not imported for it: where it is not yet, it finds the number when it is.

    Args:
        count: Of threads; "auto" for :func:`free_cores`, unless ``OMP_NUM_THREADS`` is set; None
            leaves all as it is.
    """
    if count == AUTO:
        count = None if _NAME in os.environ else free_cores()
    if count is None:
        yield
        return
    before = os.environ.get(_NAME)
    torch = sys.modules.get("torch")
    threads = None if torch is None else torch.get_num_threads()
    try:
        os.environ[_NAME] = str(count)
        if torch is not None:
            torch.set_num_threads(int(count))
        yield
    finally:
        if before is None:
            del os.environ[_NAME]
        else:
            os.environ[_NAME] = before
        if torch is not None and threads is not None:
            torch.set_num_threads(threads)


def free_cores() -> int:
    """Cores that this process may use and that nothing else uses now; at least 1.

    Several processes that one launcher started on this machine share them.
    """
    free = min(_allowed(), (os.cpu_count() or 1) - _others())
    return max(1, free // int(os.environ.get("LOCAL_WORLD_SIZE") or 1))


def _allowed() -> int:
    """Cores that the system lets this process use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores or 1, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file, or no limit
        return cores or 1


def _others() -> int:
    """How many other threads run on this machine now, most of the time; 0 where that is unknown."""
    found = []
    for _ in range(_SAMPLES):
        try:
            running = Path("/proc/loadavg").read_text().split()[3].partition("/")[0]
        except (OSError, IndexError):
            return 0
        found.append(int(running) - 1)  # this one runs, too
        time.sleep(_PAUSE)
    return max(0, round(statistics.median(found)))
