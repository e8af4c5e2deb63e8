"""Sees, through Python's own audit events, what reading a file must never do."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FORBIDDEN = {
    "pickle.find_class": "unpickles",
    **dict.fromkeys(("os.system", "os.exec", "os.posix_spawn", "os.spawn"), "starts a program"),
    "subprocess.Popen": "starts a program",
    **dict.fromkeys(("socket.connect", "socket.getaddrinfo"), "asks the network"),
    **dict.fromkeys(("socket.gethostbyname", "socket.sendto"), "asks the network"),
}
"""Events of https://docs.python.org/3/library/audit_events.html, and what each stands for."""

_seen: list[str] | None = None
_installed = False


class Forbidden(Exception):
    """Raised in the place of what must not happen; it is noted too, for a reader may catch it."""


@contextmanager
def watching() -> Iterator[list[str]]:
    """Within it nothing forbidden happens; yields what was tried, in words."""
    global _seen, _installed
    if not _installed:
        sys.addaudithook(_hear)  # for good: a hook cannot be taken off
        _installed = True
    before, _seen = _seen, []
    try:
        yield _seen
    finally:
        _seen = before


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None or event not in FORBIDDEN:
        return
    said = f"{FORBIDDEN[event]}: {event}{arguments!r:.300}"
    _seen.append(said)
    raise Forbidden(said)
