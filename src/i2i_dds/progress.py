"""Progress and notes on standard error: standard output ends with the run folder alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from i2i_dds.redaction import printable, redact_line


class Update(Protocol):
    """Tells a bar how far the work is."""

    def __call__(self, done: int, total: int, part: str | None = None) -> None:
        """``done`` of ``total``; a part of the work has a bar of its own."""
        ...


@contextmanager
def progress_bar(label: str) -> Iterator[Update]:
    """Yields ``update(done, total)``; nothing is drawn before its first call."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining()
    bar = Progress(*columns, console=Console(stderr=True))
    tasks = {}

    def update(done: int, total: int, part: str | None = None) -> None:
        name = label if part is None else part
        if name not in tasks:
            bar.start()
            tasks[name] = bar.add_task(name, total=total)
        bar.update(tasks[name], completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()


def notify(note: str) -> None:
    """A note for a person, on standard error."""
    from rich.console import Console

    Console(stderr=True).print(printable(redact_line(note)), soft_wrap=True, markup=False)
