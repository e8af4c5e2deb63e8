"""Files that stand at the root of the project, held to the package and to one another."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

import i2i_dds

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "notebooks/README.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def links(text: str) -> list[str]:
    """Where the Markdown's links and pictures lead, without their anchors."""
    return [found.partition("#")[0] for found in re.findall(r"\]\(([^)\s]+)\)", text)]


@pytest.fixture
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads(read(repository / "pyproject.toml"))["project"]


@pytest.fixture
def job(repository: Path) -> dict[str, Any]:
    return yaml.safe_load(read(repository / ".github/workflows/test.yml"))["jobs"]["test"]


def test_workflow_starts_at_the_oldest_python_allowed(project: dict, job: dict) -> None:
    pythons = job["strategy"]["matrix"]["python"]
    assert project["requires-python"] == f">={pythons[0]}"
    minors = [int(python.removeprefix("3.")) for python in pythons]
    assert minors == list(range(minors[0], minors[0] + len(minors)))
    assert job["strategy"]["fail-fast"] is False
    asked = [step.get("with", {}).get("python-version") for step in job["steps"]]
    assert "${{ matrix.python }}" in asked


def test_workflow_runs_what_the_checkout_does(repository: Path, job: dict) -> None:
    assert "bash .ci/run" in [step.get("run") for step in job["steps"]]
    assert "make test" in read(repository / ".ci/run").splitlines()


def test_citation_is_of_this_version(repository: Path, project: dict) -> None:
    citation = yaml.safe_load(read(repository / "CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "i2i_dds"
    assert citation["version"] == i2i_dds.__version__
    assert citation["license"] == project["license"]
    readme = read(repository / "README.md")
    assert f"Version {i2i_dds.__version__}, {project['license']}" in readme
    urls = [reference["url"] for reference in citation["references"]]
    assert len(urls) == 7 and all(url in readme for url in urls)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_files_lead_somewhere(repository: Path, document: str) -> None:
    path = repository / document
    own = [link for link in links(read(path)) if link and not link.startswith("https://")]
    assert [link for link in own if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_the_documents_exist(repository: Path, document: str) -> None:
    text = read(repository / document)
    for script in re.findall(r"python (train\.py|scripts/\w+\.py)", text):
        assert (repository / script).is_file(), script
    targets = set(re.findall(r"^([a-z-]+):", read(repository / "Makefile"), re.MULTILINE))
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    named = re.findall(r"^make ([a-z-]+)", blocks, re.MULTILINE)
    named += re.findall(r"`make ([a-z-]+)", text)
    assert set(named) <= targets


def test_readme_names_every_installed_command(repository: Path, project: dict) -> None:
    for document in ("README.md", project["readme"]):
        found = set(re.findall(r"`(i2i(?:-[a-z-]+)?)`", read(repository / document)))
        assert found == set(project["scripts"]), document


def test_package_index_shows_no_broken_picture_or_link(repository: Path, project: dict) -> None:
    text = read(repository / project["readme"])
    assert "![" not in text
    assert links(text) and all(link.startswith("https://") for link in links(text))


@pytest.mark.parametrize("document", ["README.md", "docs/package_index.md"])
def test_python_of_the_documents_runs_as_it_stands(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: str
) -> None:
    code, *_ = re.findall(r"```python\n(.*?)```", read(repository / document), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, document, "exec"), {"__name__": "__main__"})
    with Image.open(tmp_path / "lion.png") as lion:
        assert lion.size == (64, 64)


def test_training_from_python_runs_as_the_readme_has_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, code = re.findall(r"```python\n(.*?)```", read(repository / "README.md"), re.DOTALL)
    for typed, short in (("max_steps=800", "max_steps=2"), ("n_train=8192", "n_train=32")):
        assert typed in code
        code = code.replace(typed, short)
    assert "n=64" in code
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code.replace("n=64", "n=2"), "README.md", "exec"), names)
    assert names["trainer"].global_step == 2
    assert {path.name for path in (tmp_path / "student").iterdir()} >= {"config.json"}


def test_tests_that_reliability_names_exist(repository: Path) -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", read(repository / "docs/reliability.md"))
    assert len(named) > 50
    for file, test in named:
        assert f"\ndef {test}(" in read(repository / "tests" / file), f"{file}::{test}"
