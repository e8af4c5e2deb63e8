"""An edit beside busy processes: on torch's default threads, and as our commands run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter, process_time

from i2i_dds.threads import AUTO, WAITING, cpu_threads

NEIGHBORS = 2
"""Processes that burn a core each."""

PICTURES, STEPS = 4, 10
"""Of the edit."""


def crowded(teacher_path: str, neighbors: int = NEIGHBORS) -> dict[str, float]:
    """Seconds of one edit beside busy processes, without the start of its process.

    Args:
        teacher_path: Of the teacher that edits.
        neighbors: How many processes burn a core.

    Returns:
        "before_s" with torch's default threads and waiting, "after_s" with the threads that
        ``threads=auto`` takes and our waiting; "before_cpu_s" and "after_cpu_s" of the CPU.
    """
    bare = {
        key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))
    }
    with busy(neighbors):
        before = _run(bare, teacher_path, "default")
        after = _run({**bare, **WAITING}, teacher_path, AUTO)
    return {
        "before_s": before["seconds"],
        "after_s": after["seconds"],
        "before_cpu_s": before["cpu_seconds"],
        "after_cpu_s": after["cpu_seconds"],
    }


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Within it, so many processes burn a core each."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def edit_seconds(teacher_path: str, threads: str) -> dict[str, float]:
    """Edits in this process, and says how long it took.

    Args:
        teacher_path: Of the teacher.
        threads: "auto", or "default" for torch's.
    """
    with cpu_threads(AUTO if threads == AUTO else None):
        from i2i_dds import EditPipeline, example_picture

        pipe = EditPipeline.from_pretrained(teacher_path, device="cpu")
        picture = example_picture("cat", pipe.teacher.native_size)
        start, before = perf_counter(), process_time()
        pipe([picture] * PICTURES, source="a cat", target="a lion", num_inference_steps=STEPS)
        return {"seconds": perf_counter() - start, "cpu_seconds": process_time() - before}


def _run(environment: Mapping[str, str], *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", __name__, *arguments],
        env=dict(environment),
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(edit_seconds(*sys.argv[1:])))
