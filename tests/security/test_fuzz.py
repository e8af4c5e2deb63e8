"""The fuzzer finds what is wrong, and a first look at every reader finds nothing.

`python -m tests.security.fuzz SECONDS` looks longer.
"""

import os
import time
from pathlib import Path

import pytest

from i2i_dds.errors import UserError
from tests.security.fuzz.models import MODELS
from tests.security.fuzz.runner import Finding, fuzz, read_case, run_cases
from tests.security.fuzz.targets import DATA, Target

FEW = {"data": 40, "models": 2}


def made(read) -> Target:
    return Target("one", "a", lambda _: [b"whole"], read)


def test_files_are_the_same_in_every_run() -> None:
    for target in DATA[:3]:
        seeds = target.seeds(Path("."))
        assert [target.case(seeds, n) for n in range(5)] == [
            target.case(seeds, n) for n in range(5)
        ]
        assert len({target.case(seeds, n) for n in range(50)}) > 30


def refuses(_: Path) -> None:
    raise UserError("one sentence")


def fails(_: Path) -> None:
    raise KeyError("no sentence")


def hangs(_: Path) -> None:
    while True:
        pass


def grows(_: Path) -> None:
    len(bytearray(5 * 2**29))


def starts(_: Path) -> None:
    os.system("true")


def test_a_refusal_is_none_and_all_else_is_a_finding(
    tmp_path: Path, forbidden, monkeypatch
) -> None:
    assert read_case(made(lambda _: "a value"), [b"whole"], 0, tmp_path) is None
    assert read_case(made(refuses), [b"whole"], 0, tmp_path) is None
    said = read_case(made(fails), [b"whole"], 0, tmp_path)
    assert said is not None and said.startswith("KeyError at test_fuzz.py")
    said = read_case(made(starts), [b"whole"], 0, tmp_path)
    assert said is not None and said.startswith("starts a program: os.system")
    monkeypatch.setattr("tests.security.fuzz.runner.SECONDS", 0.2)
    said = read_case(made(hangs), [b"whole"], 0, tmp_path)
    assert said is not None and said.startswith("Hang at test_fuzz.py")


def test_a_child_that_dies_or_grows_is_a_finding_and_the_next_one_goes_on(tmp_path: Path) -> None:
    for read, words in ((lambda _: os._exit(3), "died, status"), (grows, "takes 2.")):
        found: list[Finding] = []
        ended = run_cases(made(read), 7, 0.5, tmp_path, found.append)
        assert ended >= 8 and found[0].number == 7 and found[0].what.startswith(words), found


@pytest.mark.parametrize("target", [*DATA, *MODELS], ids=lambda target: target.name)
def test_a_first_look_finds_nothing(target: Target, tmp_path: Path) -> None:
    target.prepare(tmp_path)
    seeds = target.seeds(tmp_path)
    for number in range(FEW["data" if target in DATA else "models"]):
        assert read_case(target, seeds, number, tmp_path) is None, number


@pytest.mark.slow
def test_a_longer_look_finds_nothing(tmp_path: Path) -> None:
    found: list[Finding] = []
    start = time.monotonic()
    counts = fuzz((*DATA, *MODELS), 120, tmp_path, found.append)
    assert found == [] and min(counts.values()) > 0
    assert time.monotonic() - start < 300
