"""Keeps glibc from handing large buffers back to the kernel after every operation."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names and numbers of glibc's malloc.h
_KEEP = 2**30


def keep_freed_memory() -> bool:
    """Lets malloc reuse blocks of up to a gigabyte instead of unmapping and faulting them in again.

    On a CPU a network's activations are allocated and freed at every layer, and each fresh page
    costs a fault: `scripts/bench_malloc.py` measures what that is worth.

    Returns:
        Whether the C library is glibc and took the setting; elsewhere nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEEP) and mallopt(_M_TRIM_THRESHOLD, _KEEP))
