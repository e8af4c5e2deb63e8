"""Every command of the manual composes, with keys and choices that exist."""

import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from i2i_dds.research.benchmark.methods import MethodSettings, methods
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from tests.manual.pages import DOCS, GUIDES, WORKED, commands, write_files

PAGES = [*GUIDES, *WORKED]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_commands_compose(page: Path, typed, tmp_path: Path) -> None:
    build_random_stable_diffusion(tmp_path / "models/sd15", "tiny")  # what teacher=auto looks at
    write_files(page, tmp_path)
    found = commands(page)
    assert found or page.stem == "metric"
    for name, *arguments in found:
        words = [first_of_sweep(word) for word in arguments if word != "-m"]
        out = typed(name, *(words if "-m" in arguments else arguments), "--cfg", "job")
        assert "threads:" in out or name == "doctor"
        shutil.rmtree(tmp_path / "outputs", ignore_errors=True)


def test_the_benchmarks_editors_are_methods(typed) -> None:
    """They are no choices of a group, so that composing says nothing of them."""
    asked = [one for page in PAGES for name, *one in commands(page) if name == "benchmark"]
    assert asked
    for arguments in asked:
        cfg = yaml.safe_load(typed("benchmark", *arguments, "--cfg", "job", "--resolve"))
        settings = MethodSettings(**{one.name: cfg[one.name] for one in fields(MethodSettings)})
        assert set(cfg["editors"]) <= set(methods(settings))


def first_of_sweep(word: str) -> str:
    """``key=1,2`` as its first job has it."""
    key, equals, values = word.partition("=")
    return f"{key}{equals}{values.split(',')[0]}"


def test_a_key_that_is_gone_is_noticed(typed) -> None:
    with pytest.raises(AssertionError, match="stepz"):
        typed("edit", "stepz=3", "--cfg", "job")
