"""Threads: as many as are asked for or as cores are free, and before is restored."""

import os
import subprocess
import sys

import pytest
import torch

from i2i_dds import threads
from i2i_dds.threads import AUTO, cpu_threads, free_cores, wait_briefly


@pytest.fixture
def machine(monkeypatch):
    """Sets what the machine has, and what runs on it."""

    def set_to(cores: int, allowed: int, others: int, processes: str | None = None) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        monkeypatch.setattr(threads, "_allowed", lambda: allowed)
        monkeypatch.setattr(threads, "_others", lambda: others)
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
        if processes is not None:
            monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)

    return set_to


@pytest.mark.parametrize(
    ("cores", "allowed", "others", "processes", "free"),
    [
        (8, 8, 0, None, 8),
        (8, 8, 3, None, 5),
        (8, 4, 3, None, 4),  # the others find room on the cores that are not ours
        (2, 2, 2, None, 1),
        (2, 2, 99, None, 1),
        (8, 8, 0, "3", 2),
        (2, 2, 0, "4", 1),
    ],
)
def test_cores_that_are_free(machine, cores, allowed, others, processes, free) -> None:
    machine(cores, allowed, others, processes)
    assert free_cores() == free


def test_others_that_run_are_counted() -> None:
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        assert threads._others() >= 2  # each of the looks may miss one that is just moved
    finally:
        for process in burning:
            process.kill()
            process.wait()


def test_within_it_torch_has_so_many_and_before_and_after_its_own(machine, monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    machine(8, 8, 5)
    own = torch.get_num_threads()
    for asked, count in ((2, 2), (AUTO, 3), (None, own)):
        with cpu_threads(asked):
            assert torch.get_num_threads() == count
            assert os.environ.get("OMP_NUM_THREADS") == (None if asked is None else str(count))
        assert torch.get_num_threads() == own and "OMP_NUM_THREADS" not in os.environ


def test_what_the_environment_says_counts_unless_a_number_is_asked_for(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    own = torch.get_num_threads()
    with cpu_threads(AUTO):
        assert torch.get_num_threads() == own
    with cpu_threads(own + 1):
        assert torch.get_num_threads() == own + 1


def test_torch_is_not_imported_for_it_and_finds_the_number_and_waits_briefly() -> None:
    code = """
import sys
import i2i_dds.cli.app
from i2i_dds.threads import cpu_threads
with cpu_threads(1):
    assert "torch" not in sys.modules
    import torch
    environ = __import__("os").environ
    print(torch.get_num_threads(), environ["OMP_WAIT_POLICY"], environ["GOMP_SPINCOUNT"])
"""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "passive", "10000"], done.stderr


@pytest.mark.parametrize("own", [{"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "0"}])
def test_how_threads_wait_is_left_to_whom_has_said_so(monkeypatch, own: dict[str, str]) -> None:
    environment = {"PATH": "", **own}
    monkeypatch.setattr(os, "environ", environment)
    wait_briefly()
    assert environment == {"PATH": "", **own}
