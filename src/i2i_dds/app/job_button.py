"""What the button that begins a job does, and the one that stops it, alike in all tabs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from i2i_dds import UserError
from i2i_dds.app import markup
from i2i_dds.app.jobs import Cancelled, Stops

ONE_JOB: dict[str, Any] = {"concurrency_id": "teacher", "concurrency_limit": 1}
"""Of whatever asks the teacher: one at a time, in the order asked for."""

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

NEWEST: dict[str, Any] = {"trigger_mode": "always_last"}
"""Of a field that was changed: a second change while the first is at work is heard, too."""

TASK = "Task"
"""Label of a field of tasks."""

_WAITS = f"() => ({{__type__: 'update', label: '{TASK}, once the student is read'}})"

Updates = dict[Any, Any]
"""Component -> what it is to show."""


def connect_job(
    stops: Stops,
    triggers: Sequence[Any],
    stop: gr.Button,
    work: Callable[..., Iterator[Updates]],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
) -> None:
    """Has triggers begin a job, and a button stop it.

    Args:
        stops: Of the page's jobs.
        triggers: Events that begin it.
        stop: The button.
        work: Called with the event that is to end it and the inputs' values; it may raise
            ``UserError`` and ``Cancelled``, which the line of status then tells of.
        inputs: Fields.
        outputs: What it shows; the first is the line of status.
    """
    status = outputs[0]

    def begin(request: gr.Request) -> str:
        stops.begin(str(request.session_hash))
        return markup.status("Waiting for the teacher", 0, "busy")

    def run(request: gr.Request, *fields: Any) -> Iterator[Updates]:
        event: threading.Event = stops.event(str(request.session_hash))
        try:
            yield from work(event, *fields)
        except Cancelled:
            yield {status: markup.status("Stopped; nothing is kept of it.", None)}
        except UserError as error:
            yield {status: error_line(error)}

    def end(request: gr.Request) -> None:
        stops.stop(str(request.session_hash))  # the job says that it has ended

    gr.on(list(triggers), begin, None, [status], queue=False, **QUIET).then(
        run, list(inputs), list(outputs), **ONE_JOB, **QUIET
    )
    stop.click(end, None, None, queue=False, **QUIET)


def connect_choice(
    field: Any, task: gr.Dropdown, choose: Callable[..., Updates], inputs: Sequence[Any], told: Any
) -> None:
    """Has the choice of a student offer its tasks, in line with the jobs.

    It must not speak after a job that was begun later, and so may have to wait for one: the
    field of tasks says so.

    Args:
        field: Where a student is chosen.
        task: Where its tasks are offered; ``choose`` gives it its label back.
        choose: Called with the inputs' values.
        inputs: Fields.
        told: What it shows.
    """
    field.input(None, None, [task], js=_WAITS, api_visibility="private")  # in the browser, at once
    field.input(choose, list(inputs), list(told), **ONE_JOB, **NEWEST, **QUIET)


def error_line(error: UserError) -> str:
    """What is wrong, in the line of status."""
    return markup.status(str(error), None, "error")
