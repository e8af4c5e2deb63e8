"""What hostile input is tried on: commands in an empty folder, a tiny teacher, a deadline."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from i2i_dds.critters import render, scenes
from i2i_dds.student.load import student_config
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from tests.cli.conftest import i2i, typed  # noqa: F401, fixtures
from tests.security.watch import watching

DEADLINE = 30
"""Seconds after which what shall end is taken to hang."""


@pytest.fixture(autouse=True)
def forbidden() -> Iterator[list[str]]:
    """Nothing is unpickled, started or looked up in any of these tests."""
    with watching() as seen:
        yield seen
    assert seen == []


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    def hangs(*_: Any) -> None:
        raise TimeoutError("hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(DEADLINE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A teacher's folder to be spoiled."""

    return Path(shutil.copytree(tiny_folder, tmp_path / "teacher"))


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    """A picture."""
    (scene,) = scenes("test", 1, species="cat")
    render(scene, 32).save(tmp_path / "cat.png")
    Image.new("L", (32, 32), 255).save(tmp_path / "mask.png")
    return tmp_path / "cat.png"


@pytest.fixture
def content(student: Callable[..., Any]) -> dict[str, Any]:
    """What a checkpoint of training holds, as far as a student is read from it."""
    made = student()
    weights = {f"student.{name}": value for name, value in made.state_dict().items()}
    return {"hyper_parameters": {"student": student_config(made)}, "state_dict": weights}
