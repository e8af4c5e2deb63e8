"""Commands as real processes, which get real signals; a tiny untrained teacher does the work."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LONG = 120
"""Seconds, past which a process that shall end is taken for one that hangs."""


@dataclass
class Process:
    """A command that was started, with its files `out` and `err` in its folder."""

    number: int
    folder: Path
    ask: Callable[[dict[str, Any]], Any]

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def send(self, one: signal.Signals) -> None:
        os.kill(self.number, one)

    def status(self, seconds: float = LONG) -> int:
        """How it ended; one that hangs is killed and fails the test."""
        found = self.ask({"wait": self.number, "seconds": seconds})
        if found is None:
            self.send(signal.SIGKILL)
            self.ask({"wait": self.number, "seconds": LONG})
            pytest.fail(f"still runs after {seconds} s:\n{self.err}")
        return found

    def until(self, there: Callable[[], Any], seconds: float = LONG) -> None:
        """Waits for something that the process does, while it runs."""
        end = time.monotonic() + seconds
        while not there():
            ended = self.ask({"wait": self.number, "seconds": 0.02})
            assert ended is None, f"ended with {ended} before its time:\n{self.err}"
            assert time.monotonic() < end, f"did not come:\n{self.err}"


@pytest.fixture(scope="session")
def ask(pocket: Path) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """Asks the process that has all heavy modules already, see zygote.py."""
    # Without the process of W&B that other tests in this one may have begun: each has its own.
    own = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}
    environment = {**own, "I2I_DDS_POCKET": str(pocket), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("zygote.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as zygote:
        assert zygote.stdin is not None and zygote.stdout is not None
        stdin, stdout = zygote.stdin, zygote.stdout

        def ask(asked: dict[str, Any]) -> Any:
            stdin.write(json.dumps(asked) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

        yield ask
        stdin.close()


@pytest.fixture
def start(ask: Callable[[dict[str, Any]], Any], tmp_path: Path) -> Callable[..., Process]:
    """Starts a command of `i2i_dds.cli` in the test's folder."""

    def start(command: str, *arguments: str, **more: Any) -> Process:
        for name in ("out", "err"):
            (tmp_path / name).write_bytes(b"")
        asked = {"start": [f"i2i_dds.cli.{command}", *arguments], "folder": str(tmp_path), **more}
        return Process(ask(asked), tmp_path, ask)

    return start
