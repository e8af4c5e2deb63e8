"""One job at a time in a thread of its own, seen step by step, and stopped when asked."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from PIL import Image

T = TypeVar("T")

_LEAST_PAUSE = 0.5
"""Seconds from one preview to the next; a browser that is busy with pictures hears no click."""

_SHARE = 3.0
"""Times that a preview took before the next one is drawn, so that most of the time goes to work."""

TEACHER = threading.Lock()
"""Held by the job that works; a page that was closed may still be at its last step. Also by whoever
loads a network: diffusers swaps a method of torch for that time, and two at once never undo it."""


class Cancelled(Exception):
    """The person asked the job to stop."""


@dataclass(frozen=True)
class Preview:
    """How far a job is.

    Attributes:
        step: Number of the step, from 1.
        steps: How many there are to be.
        image: As it looks now.
        seconds: Since the job began.
        what: What its steps are called.
    """

    step: int
    steps: int
    image: Image.Image
    seconds: float
    what: str = "Step"


@dataclass(frozen=True)
class Result(Generic[T]):
    """What a job gave, and the seconds it took."""

    value: T
    seconds: float


def follow(
    work: Callable[[Callable[[Any], None]], T],
    draw: Callable[[Any], Image.Image],
    stop: threading.Event,
) -> Iterator[Preview | Result[T]]:
    """Does a job and tells of it on the way.

    Args:
        work: Called with what it is to tell of each step, an :class:`i2i_dds` ``EditStep``, one of
            a LoRA's training, which has no latent, or one that says ``what`` it is.
        draw: A picture of such a step.
        stop: Set by whoever wants it to end; it ends at its next step.

    Yields:
        Previews, the newest only where they come faster than they are taken, and one result.

    Raises:
        Cancelled: It was stopped.
        Exception: What the job raised.
    """
    told: queue.Queue[Any] = queue.Queue()
    thread = threading.Thread(target=_work, args=(work, draw, stop, told.put), daemon=True)
    thread.start()
    try:
        while True:
            one = told.get()
            while isinstance(one, Preview) and not told.empty():
                one = told.get()
            if isinstance(one, BaseException):
                raise one
            yield one
            if isinstance(one, Result):
                return
    finally:
        stop.set()
        thread.join()


def resized(
    told: Iterator[Preview | Result[T]], size: tuple[int, int]
) -> Generator[Preview, None, Result[T]]:
    """Hands on a job's previews at a picture's own size, and returns its result."""
    for one in told:
        if isinstance(one, Result):
            return one
        yield replace(one, image=one.image.resize(size))
    raise RuntimeError("the job ended without a result")


def _work(
    work: Callable[[Callable[[Any], None]], T],
    draw: Callable[[Any], Image.Image],
    stop: threading.Event,
    tell: Callable[[Any], None],
) -> None:
    with TEACHER:
        begun = time.monotonic()
        next_preview = begun

        def on_step(step: Any) -> None:
            nonlocal next_preview
            if stop.is_set():
                raise Cancelled
            now = time.monotonic()
            if now >= next_preview or step.step == 0:
                image = draw(step)
                done = time.monotonic()
                next_preview = done + max(_LEAST_PAUSE, _SHARE * (done - now))
                tell(Preview(step.step + 1, step.steps, image, done - begun, _what(step)))

        try:
            if stop.is_set():
                raise Cancelled
            tell(Result(work(on_step), time.monotonic() - begun))
        except BaseException as error:
            tell(error)


def _what(step: Any) -> str:
    learns = "Step" if hasattr(step, "z") else "Learning the picture, step"
    return getattr(step, "what", learns)


class Stops:
    """Which job of which page is to stop."""

    def __init__(self) -> None:
        self._events: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def begin(self, page: str) -> None:
        """A job of this page was asked for; one that it had is stopped."""
        with self._lock:
            if page in self._events:
                self._events[page].set()
            self._events[page] = threading.Event()

    def event(self, page: str) -> threading.Event:
        """That of the page's newest job."""
        with self._lock:
            return self._events.setdefault(page, threading.Event())

    def stop(self, page: str) -> None:
        """Stops the page's job, also one that waits for its turn."""
        self.event(page).set()

    def forget(self, page: str) -> None:
        """The page was closed; its job is stopped."""
        with self._lock:
            event = self._events.pop(page, None)
        if event is not None:
            event.set()
