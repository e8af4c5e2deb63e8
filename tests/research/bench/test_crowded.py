import os

import pytest

from i2i_dds.research.bench import crowded


def test_neighbors_run_within_and_are_gone_after() -> None:
    before = set(_children())  # a browser's, or another test's
    with crowded.busy(2):
        neighbors = set(_children()) - before
        assert len(neighbors) == 2
    assert not neighbors & set(_children())


def test_both_ways_have_their_threads_and_their_waiting(monkeypatch) -> None:
    asked = []

    def run(environment, *arguments):
        waiting = [environment.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")]
        asked.append((*waiting, arguments))
        assert "OMP_NUM_THREADS" not in environment
        return {"seconds": 1.0, "cpu_seconds": 2.0}

    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    monkeypatch.setattr(crowded, "_run", run)
    found = crowded.crowded("pocket", neighbors=0)
    ours = ("passive", "10000", ("pocket", "auto"))
    assert asked == [(None, None, ("pocket", "default")), ours]
    assert found == {"before_s": 1.0, "after_s": 1.0, "before_cpu_s": 2.0, "after_cpu_s": 2.0}


@pytest.mark.slow
def test_an_edit_beside_busy_processes_is_timed() -> None:
    found = crowded.crowded("pocket", neighbors=1)
    assert min(found.values()) > 0


def _children() -> list[str]:
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and _parent(pid) == os.getpid()]


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return -1
