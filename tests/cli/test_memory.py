"""Freed memory stays with the process where glibc is asked to keep it."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, sys
from i2i_dds.cli.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
size = 256 * 2**20
block = libc.malloc(ctypes.c_size_t(size))
ctypes.memset(block, 1, size)
full = resident()
libc.free(block)
print((full - resident()) / size)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
@pytest.mark.parametrize(("setting", "returned"), [("default", 1.0), ("keep", 0.0)])
def test_a_large_block_is_returned_or_kept(setting, returned):
    command = [sys.executable, "-c", SCRIPT, setting]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(returned, abs=0.1)
