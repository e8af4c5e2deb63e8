"""Reads damaged files in children, which may die, hang or grow, and tells of each that does."""

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from i2i_dds.errors import UserError
from tests.security.fuzz.targets import Target
from tests.security.watch import watching

SECONDS = 5
"""Of a processor that one file may take."""

WALL = 60
"""Seconds without a word, past which a child hangs where Python cannot stop it."""

MOST_MEMORY = 2 * 2**30
"""Bytes that reading one file may add to the process."""

_MARGIN = 4 * 2**30
"""Bytes past which the system refuses more, for the machine's sake."""


@dataclass(frozen=True)
class Finding:
    """A file that was read badly.

    Attributes:
        target: The reader's name.
        number: The file's, from which it can be made again.
        what: An exception that is no refusal and where it arose, or what else went wrong.
    """

    target: str
    number: int
    what: str

    def __str__(self) -> str:
        return f"{self.target!r} {self.number}: {self.what}"


class Hang(BaseException):
    """A file takes too long."""


def read_case(target: Target, seeds: list[bytes], number: int, folder: Path) -> str | None:
    """What is wrong with the reading of one damaged file, or None."""
    (folder / target.file).write_bytes(target.case(seeds, number))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGPROF, _hang)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    with watching() as forbidden:
        try:
            target.read(folder)
        except UserError as error:
            wrong = None if str(error).strip() else "UserError without a word"
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            wrong = _where(error)
        else:
            wrong = None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown) * 1024
    if grown > MOST_MEMORY:
        return f"takes {grown / 2**30:.1f} GiB"
    return forbidden[0] if forbidden else wrong


def _hang(signal_: int, frame: FrameType | None) -> None:
    raise Hang(f"takes more than {SECONDS} s")


def _where(error: BaseException) -> str:
    """The exception, and the last line of ours that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "i2i_dds" in frame.filename]
    ours = ours or [frame for frame in frames if frame.filename != __file__] or frames
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return f"{type(error).__name__} at {place}: {str(error)[:160]!r}"


def run_cases(
    target: Target, first: int, seconds: float, folder: Path, found: Callable[[Finding], None]
) -> int:
    """Reads damaged files for a while, each child as many as it survives.

    Args:
        target: The reader.
        first: The number of the first file.
        seconds: How long.
        folder: An empty one.
        found: Told of each file that is read badly.

    Returns:
        The number of the file after the last.
    """
    target.prepare(folder)
    seeds, end, number = target.seeds(folder), time.monotonic() + seconds, first
    while time.monotonic() < end:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(target, seeds, number, end, folder, writing)
        os.close(writing)
        number = _follow(target, child, reading, number, found)
    return number


def _child(
    target: Target, seeds: list[bytes], number: int, end: float, folder: Path, pipe: int
) -> None:
    """One line a file: its number before it is read, and what is wrong after."""
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + _MARGIN,) * 2)
        while time.monotonic() < end:
            os.write(pipe, f"{number}\n".encode())
            wrong = read_case(target, seeds, number, folder)
            if wrong is not None:
                os.write(pipe, f"!{wrong.encode('unicode_escape').decode()}\n".encode())
                if wrong.startswith(("takes", "Hang", "MemoryError")):
                    break  # what it holds goes with it
            number += 1
        os.write(pipe, b"end\n")
        status = 0
    finally:
        os._exit(status)


def _follow(
    target: Target, child: int, pipe: int, number: int, found: Callable[[Finding], None]
) -> int:
    """Hears a child out; one that dies or says nothing for long is a finding."""
    last, said = time.monotonic(), b""
    os.set_blocking(pipe, False)
    ended, status = False, 0
    while not ended:
        done, status = os.waitpid(child, os.WNOHANG)
        ended = done != 0
        while part := _read(pipe):
            said, last = said + part, time.monotonic()
        if not ended and time.monotonic() - last > WALL:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            ended, status = True, -1
        time.sleep(0 if ended else 0.02)
    os.close(pipe)
    lines = said.decode().splitlines()
    for line in lines:
        if line.startswith("!"):
            found(Finding(target.name, number, line[1:]))
        elif line != "end":
            number = int(line)
    if lines[-1:] != ["end"]:
        found(Finding(target.name, number, "hangs" if status == -1 else f"died, status {status}"))
    return number + 1


def _read(pipe: int) -> bytes:
    try:
        return os.read(pipe, 65536)
    except BlockingIOError:
        return b""


def fuzz(
    targets: Sequence[Target], seconds: float, folder: Path, found: Callable[[Finding], Any]
) -> dict[str, int]:
    """Shares the seconds among the readers, in rounds; returns how many files each was given."""
    counts = {target.name: 0 for target in targets}
    rounds = max(1, round(seconds / (len(targets) * 10)))
    for round_ in range(rounds):
        for place, target in enumerate(targets):
            there = folder / f"{round_}-{place}"
            there.mkdir()
            share = seconds / rounds / len(targets)
            counts[target.name] = run_cases(target, counts[target.name], share, there, found)
            sys.stdout.flush()
    return counts
