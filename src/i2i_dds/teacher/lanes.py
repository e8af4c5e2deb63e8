"""Continuous batching: jobs that take different numbers of steps share a teacher's calls.

Each job runs in a lane of its own, as if it had the teacher for itself. Where it asks for noise it
waits until every other lane has asked too; then all rows go through the network together. A lane
whose job has ended takes the next one, so that the network's batch stays full until jobs run out.

Only one lane runs at a time, in the order of their numbers: nothing here depends on the clock, and
jobs need no locks. What a job is told differs by rounding from what it would be told alone, as
everything does that is computed in a larger batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

import torch
from torch import Tensor

from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import Teacher

Result = TypeVar("Result")
Job = Callable[[Any], Result]
"""Does its work with the teacher that it is given."""


class _Stopped(BaseException):
    """Ends a job whose answers nobody waits for any more."""


@dataclass
class _Question:
    """What a lane asks, and what becomes of it.

    Attributes:
        z_t: Noisy latents, (B, C, h, w).
        t: Timesteps, (B,).
        text: Of B rows.
        answer: The noise, (B, C, h, w).
        seconds: This lane's share of the time that the network took.
    """

    z_t: Tensor
    t: Tensor
    text: Conditioning
    answer: Any = None
    seconds: float = 0.0

    @property
    def kind(self) -> tuple[Any, ...]:
        """Rows of one kind go through the network together."""
        texts = tuple((name, one.shape[1:], one.dtype) for name, one in self.text.items())
        return self.z_t.shape[1:], self.z_t.dtype, self.t.dtype, texts


def busy_seconds(teacher: Any) -> float:
    """A clock that stands still while lanes other than this teacher's are served."""
    return perf_counter() - getattr(teacher, "waited", 0.0)


def run_together(
    teacher: Teacher, jobs: Sequence[Job[Result]], width: int
) -> Iterator[tuple[int, Result]]:
    """Runs jobs, ``width`` of them at a time, their rows in the network's batches together.

    Args:
        teacher: Who answers all of them.
        jobs: Each called with a teacher of its own. Gradients are off within.
        width: Jobs at a time, at least 1.

    Yields:
        The number of a job and what it returned, as they end.

    Raises:
        Exception: What a job raises; the others are ended then, as where the caller stops asking.
    """
    waiting = list(enumerate(jobs))[::-1]
    lanes: list[_Lane] = []
    try:
        while waiting or lanes:
            while waiting and len(lanes) < width:
                lanes.append(_Lane(teacher, *waiting.pop()))
            for lane in lanes:
                lane.go_on()
            ended = [lane for lane in lanes if lane.question is None]
            lanes = [lane for lane in lanes if lane.question is not None]
            for lane in ended:
                yield lane.number, lane.result.result()
            if not ended or not waiting:
                _answer(teacher, [lane.question for lane in lanes if lane.question is not None])
    finally:
        for lane in lanes:
            lane.stop()


def _own_teacher(teacher: Teacher, ask: Callable[[_Question], None]) -> Any:
    """The teacher as a job in a lane has it: ``nfe`` counts its rows, ``waited`` its idle seconds.

    A copy that shares the networks, so that it can do whatever the teacher's class can.
    """
    own: Any = copy(teacher)
    own.nfe, own.waited = 0, 0.0

    def predict_noise(z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        question, start = _Question(z_t, t, text), perf_counter()
        own.nfe += len(z_t)
        ask(question)
        own.waited += perf_counter() - start - question.seconds
        return question.answer

    own.predict_noise = predict_noise
    return own


def queue_length(jobs: int, width: int) -> int:
    """How many jobs to hand to :func:`run_together` at a time, where pieces of work are shared out.

    Up to four times the lanes, as long as eight pieces are left for as many processes. It depends
    on nothing else, so that each piece is done alike whoever does it.
    """
    return width * max(1, min(4, jobs // (8 * width)))


class _Lane:
    """A job in a thread that runs only while :meth:`go_on` waits for it.

    Attributes:
        number: The job's.
        question: What it asks; None before it began and after it has ended.
        result: What it returned or raised, once it has ended.
    """

    def __init__(self, teacher: Teacher, number: int, job: Job[Any]) -> None:
        self.number = number
        self.question: _Question | None = None
        self.result: Future[Any] = Future()
        self._turn, self._asked = threading.Semaphore(0), threading.Semaphore(0)
        self._stopped = False
        arguments = (job, _own_teacher(teacher, self._ask))
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Lets the job run until it asks something or ends; one that waits for an answer stays."""
        if self.question is not None and self.question.answer is None:
            return
        self._turn.release()
        self._asked.acquire()

    def stop(self) -> None:
        """Ends the job where it stands."""
        self._stopped = True
        self._turn.release()
        self._thread.join()

    def _run(self, job: Job[Any], teacher: Any) -> None:
        self._turn.acquire()
        try:
            if not self._stopped:
                with torch.no_grad():
                    self.result.set_result(job(teacher))
        except _Stopped:
            pass
        except BaseException as error:  # whatever it is, the caller of run_together gets it
            self.result.set_exception(error)
        self.question = None
        self._asked.release()

    def _ask(self, question: _Question) -> None:
        self.question = question
        self._asked.release()
        self._turn.acquire()
        if self._stopped:
            raise _Stopped


def _answer(teacher: Teacher, questions: Sequence[_Question]) -> None:
    """Answers all, those of one kind in one pass."""
    for kind in dict.fromkeys(question.kind for question in questions):
        alike = [question for question in questions if question.kind == kind]
        start = perf_counter()
        eps = teacher.predict_noise(
            torch.cat([question.z_t for question in alike]),
            torch.cat([question.t for question in alike]),
            Conditioning.cat([question.text for question in alike]),
        )
        a_row = (perf_counter() - start) / len(eps)
        for question, own in zip(alike, eps.split([len(one.z_t) for one in alike]), strict=True):
            question.answer, question.seconds = own, a_row * len(own)
