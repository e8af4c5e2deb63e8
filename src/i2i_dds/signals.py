"""Signals that ask a process to end: the first is heard in good order, the second ends at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT)
_SAME_REQUEST = 2.0
"""Seconds within which a launcher repeats to its processes what the terminal has sent them."""

OnSignal = Callable[[signal.Signals], None]

_ending = threading.Event()
"""Set by the first signal that asks for the end, whichever `hearing` is the innermost then."""


class Stopped(BaseException):
    """A signal asked this process to end.

    It is no ``Exception``, so that nothing takes it for the failure of one piece of work.

    Attributes:
        signal: Which one.
        how: Where it stopped and how to go on, for the sentence that a person reads.
    """

    def __init__(self, received: signal.Signals, how: str = "") -> None:
        super().__init__(received, how)
        self.signal, self.how = received, how

    def __str__(self) -> str:
        return f"stopped by {self.signal.name}{self.how}"

    @property
    def status(self) -> int:
        """What a shell sees of a process that the signal ended: 130 or 143."""
        return 128 + self.signal


def stop(received: signal.Signals) -> None:
    """Raises ``Stopped``."""
    raise Stopped(received)


@contextmanager
def hearing(
    on_signal: OnSignal = stop, signals: Sequence[signal.Signals] = ENDING
) -> Iterator[None]:
    """Calls ``on_signal`` for the first signal that asks for the end, and for others every time.

    A signal that is ignored from the start, as in the background of a shell, stays ignored.
    Outside the main thread nothing can be heard, and nothing is changed.

    Args:
        on_signal: What to do, in the main thread, between two instructions of Python.
        signals: Those that are heard.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a worker that was forked; it ends with its parent
            return
        if number not in ENDING or not _ending.is_set():
            if number in ENDING:
                _ending.set()
            on_signal(signal.Signals(number))

    before = {one: signal.getsignal(one) for one in signals}
    changed = [one for one, handler in before.items() if handler is not signal.SIG_IGN]
    for one in changed:
        signal.signal(one, handle)
    try:
        yield
    finally:
        for one in changed:
            signal.signal(one, before[one] or signal.SIG_DFL)


@contextmanager
def second_ends(processes: int = 1) -> Iterator[None]:
    """Within it a second signal that asks for the end gets it at once, whatever Python does.

    A thread sees to it, for the main one may be in the middle of a long computation.

    Args:
        processes: How many work together. Their launcher repeats a signal that they have got
            from the terminal already, so a second one counts after two seconds only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    pause = 0.0 if processes == 1 else _SAME_REQUEST
    watching = threading.Thread(target=_watch, args=(reader, pause), daemon=True)
    watching.start()
    try:
        yield
    finally:
        _ending.clear()
        signal.set_wakeup_fd(before)
        writer.close()
        watching.join()
        reader.close()


def _watch(reader: socket.socket, pause: float) -> None:
    first: float | None = None
    while numbers := reader.recv(16):
        for number in numbers:
            if number in ENDING:
                now = time.monotonic()
                if first is not None and now - first >= pause:
                    os._exit(128 + number)
                first = first or now


# A worker that is forked tells its parent nothing of the signals that it gets itself.
os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
