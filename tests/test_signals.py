"""Who hears a signal, and that a second one ends the process; commands are in tests/faults."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from i2i_dds.signals import Stopped, hearing, second_ends


@pytest.mark.parametrize(
    ("sent", "status", "name"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "SIGINT")]
)
def test_a_signal_raises_with_its_status_and_handlers_come_back(sent, status, name) -> None:
    before = signal.getsignal(sent)
    with pytest.raises(Stopped) as stopped, second_ends(), hearing():
        os.kill(os.getpid(), sent)
    assert (stopped.value.status, str(stopped.value)) == (status, f"stopped by {name}")
    assert signal.getsignal(sent) is before


def test_what_passes_over_exceptions_does_not_pass_over_a_stop() -> None:
    with pytest.raises(Stopped), second_ends(), hearing(), suppress(Exception):
        os.kill(os.getpid(), signal.SIGTERM)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with hearing():
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_nothing_is_changed() -> None:
    before, inside = signal.getsignal(signal.SIGTERM), []

    def listen() -> None:
        with hearing():
            inside.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert inside == [before]


def test_signals_that_do_not_end_are_heard_every_time() -> None:
    heard: list[signal.Signals] = []
    with hearing(heard.append, [signal.SIGUSR1]):
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
    assert heard == [signal.SIGUSR1] * 2


PROGRAM = """\
import os, signal, sys, time
from i2i_dds.signals import hearing, second_ends
heard = []
with second_ends(int(sys.argv[1])), hearing():  # as of a command
    with hearing(heard.append):  # as of a training, which closes early
        os.kill(os.getpid(), signal.SIGTERM)
    if os.fork() == 0:
        os.kill(os.getpid(), signal.SIGINT)  # a worker's own affair
        os._exit(0)
    os.wait()
    print(len(heard), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    sum(range(10**8 if sys.argv[1] == "1" else 1))  # one instruction, and Python hears nothing
    print("alive", flush=True)
"""


@pytest.mark.parametrize(
    ("processes", "status", "out"),
    [(1, 143, "1\n"), (2, 0, "1\nalive\n")],  # a launcher repeats itself
)
def test_a_second_signal_ends_a_lone_process_at_once(processes, status, out) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(processes)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (status, out), done.stderr
