"""Progress and notes on standard error: standard output ends with the run folder alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Yields ``update(done, total)``; nothing is drawn before its first call."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True))
    task = None

    def update(done: int, total: int) -> None:
        nonlocal task
        if task is None:
            bar.start()
            task = bar.add_task(label, total=total)
        bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()


def say(note: str) -> None:
    """A note for a person, on standard error."""
    from rich.console import Console

    Console(stderr=True).print(note, soft_wrap=True, markup=False)
