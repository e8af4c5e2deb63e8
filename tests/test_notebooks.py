"""The notebooks as they are shipped, and run from top to bottom with tiny settings."""

import ast
import io
import json
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from i2i_dds.critters import render, scenes

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
FIRST, SECOND, THIRD = "1_edit_a_picture", "2_what_the_delta_is", "3_train_and_use_a_student"
ALLOWED = {
    *("i2i_dds", "torch", "pytorch_lightning", "PIL", "IPython", "numpy", "matplotlib"),
    *sys.stdlib_module_names,
}

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


class Run:
    """A notebook that has been run.

    Attributes:
        names: What its cells left behind.
        pictures: What it showed, in order.
        tables: The Markdown that it showed.
    """

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.pictures: list[np.ndarray] = []
        self.tables: list[str] = []

    def display(self, *shown: Any) -> None:
        for one in shown:
            if isinstance(one, Image.Image):
                self.pictures.append(np.asarray(one))
            elif isinstance(one, Figure):
                buffer = io.BytesIO()
                one.savefig(buffer)
                self.pictures.append(np.asarray(Image.open(buffer)))
            else:
                self.tables.append(one.data)


def cells(path: Path, kind: str = "code") -> list[dict[str, Any]]:
    book = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in book["cells"] if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def parameters(path: Path) -> dict[str, Any]:
    """The assignments of the one cell tagged so, as papermill has it."""
    (cell,) = [cell for cell in cells(path) if "parameters" in cell["metadata"].get("tags", ())]
    found: dict[str, Any] = {}
    exec(source(cell), found)
    return {name: value for name, value in found.items() if not name.startswith("__")}


@pytest.fixture
def run(monkeypatch, tmp_path: Path) -> Callable[..., Run]:
    """Runs a notebook in an empty folder; what it shows is kept, with or without IPython."""
    shown = Run()
    stub = types.ModuleType("IPython.display")
    stub.display = shown.display  # type: ignore[attr-defined]
    stub.Markdown = lambda text: types.SimpleNamespace(data=text)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", stub)
    monkeypatch.delenv("I2I_DDS_POCKET", raising=False)
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def run(name: str, **changes: Any) -> Run:
        path = next(path for path in NOTEBOOKS if path.stem == name)
        assert changes.keys() <= parameters(path).keys()
        for cell in cells(path):
            exec(compile(source(cell), f"{name}, {cell['id']}", "exec"), shown.names)
            if "parameters" in cell["metadata"].get("tags", ()):
                shown.names.update(changes)
        return shown

    yield run
    assert not list((tmp_path / "here").iterdir())
    assert not list((tmp_path / "temporary").iterdir())


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == [FIRST, SECOND, THIRD]


@every_notebook
def test_notebook_is_stripped(path: Path) -> None:
    book = json.loads(path.read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert book["metadata"].keys() == {"kernelspec"}
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    names = [cell["id"] for cell in book["cells"]]
    assert len(set(names)) == len(names)
    for cell in book["cells"]:
        assert cell["metadata"].keys() <= {"tags"}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@every_notebook
def test_notebook_begins_with_what_it_shows_and_how_long_it_takes(path: Path) -> None:
    title, line, *_ = source(cells(path, "markdown")[0]).split("\n\n")
    assert title.startswith("# ")
    assert "\n" not in line and "minute" in line


@every_notebook
def test_notebook_imports_only_the_package_and_what_comes_with_it(path: Path) -> None:
    for cell in cells(path):
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {str(module).partition(".")[0] for module in modules} <= ALLOWED
            of_ours = [module for module in modules if str(module).startswith("i2i_dds")]
            assert set(of_ours) <= {"i2i_dds"}  # the public API, and nothing below it


@every_notebook
def test_notebook_defines_nothing_of_its_own(path: Path) -> None:
    for cell in cells(path):
        for node in ast.walk(ast.parse(source(cell))):
            assert not isinstance(node, ast.ClassDef | ast.AsyncFunctionDef)
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None and node.end_lineno - node.lineno < 6


def test_a_picture_is_edited(run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.png"
    render(scenes("val", 1, species="cat")[0], 72).save(mine)
    done = run(FIRST, STEPS=2, PICTURE=str(mine))
    names = done.names
    # truth, on the way, zoo, SDS, mask, Cycle-SDE, own picture
    assert len(done.pictures) == 7
    edits = [np.asarray(names[name]) for name in ("picture", "by_dds", "by_sds", "by_cycle")]
    for number, one in enumerate(edits):
        assert one.shape == (64, 64, 3)
        assert not any(np.array_equal(one, other) for other in edits[:number])
    assert names["own"].images[0].size == (72, 72)
    z, z_src, half = (names[name] for name in ("z", "z_src", "half"))
    assert not torch.equal(z[..., :half], z_src[..., :half])


def test_the_delta_is_what_the_notebook_says(run) -> None:
    done = run(SECOND, SCENES=2, STEPS=2, NOISES=1, TIMESTEPS=[300, 900], SAMPLER_STEPS=4)
    names = done.names
    # scenes, gradients, true prompt, edits, curves, samplers back, samplers forth
    assert len(done.pictures) == 7
    assert len(done.tables) == 4 and all("nan" not in table for table in done.tables)
    asked = {(row["score"], row["iteration"]): row for row in names["asked"]}
    assert set(asked) == {(score, at) for score in ("dds", "sds") for at in (0, 1, 2)}
    drift = {(row["score"], row["iteration"]): row["drift"] for row in names["found"]}
    assert drift["dds", 2] == 0 < drift["sds", 1]
    for name in ("ODE", "SDE"):
        assert not torch.equal(names["back"][name], names["scenes"].z)


def test_a_student_is_trained_saved_loaded_and_used(run) -> None:
    done = run(THIRD, STEPS=4, PICTURES=16, ROWS=2, ZERO_SHOT_STEPS=2)
    names = done.names
    assert names["trainer"].global_step == 4
    steps = [f"step {step}" for step in (1, 2, 3, 4)]
    assert list(names["film"]) == ["source", *steps]
    first, last = (np.asarray(names["film"][step][0]) for step in (steps[0], steps[-1]))
    assert not np.array_equal(first, last)
    assert [line["by"] for line in names["lines"]] == ["zero-shot DDS", "student"]
    assert len(done.pictures) == 4 and len(done.tables) == 1
