"""What runs elsewhere, in continuous integration and in containers, names what is here."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = ("test", "docs", "wheel")


def workflow(repository: Path, name: str) -> dict[str, Any]:
    text = (repository / f".github/workflows/{name}.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def steps(repository: Path, name: str) -> list[dict[str, Any]]:
    (job,) = workflow(repository, name)["jobs"].values()
    return job["steps"]


def targets(repository: Path) -> set[str]:
    text = (repository / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def test_there_are_these(repository: Path) -> None:
    found = {path.stem for path in (repository / ".github/workflows").iterdir()}
    assert found == set(WORKFLOWS)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_only_read_and_ends(repository: Path, name: str) -> None:
    content = workflow(repository, name)
    assert content["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in content["jobs"].values())


def test_the_manual_is_built_as_in_a_checkout(repository: Path) -> None:
    assert "make docs" in [step.get("run") for step in steps(repository, "docs")]
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert "docs" in targets(repository) and "mkdocs build --strict" in makefile


def test_the_wheel_edits_where_it_alone_is_installed(repository: Path) -> None:
    typed = "\n".join(step.get("run", "") for step in steps(repository, "wheel"))
    assert 'pip" install dist/*.whl' in typed and "new/bin/i2i edit" in typed
    (edit,) = [step for step in steps(repository, "wheel") if "i2i edit" in step.get("run", "")]
    assert edit["env"] == {"HF_HUB_OFFLINE": "1"} and "runner.temp" in edit["working-directory"]


@pytest.fixture
def dockerfile(repository: Path) -> str:
    return (repository / "Dockerfile").read_text(encoding="utf-8")


def test_what_the_image_copies_is_here_and_not_ignored(repository: Path, dockerfile: str) -> None:
    copied = [
        word for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.M) for word in line.split()
    ]
    assert {"pyproject.toml", "conf", "src"} <= set(copied)
    assert [name for name in copied if not (repository / name).exists()] == []
    kept = (repository / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{name}" for name in copied} <= set(kept)


def test_the_image_has_the_torch_that_is_asked_for(repository: Path, dockerfile: str) -> None:
    pinned = re.search(
        r'"(torch[^"]+)"', (repository / "pyproject.toml").read_text(encoding="utf-8")
    )
    assert pinned is not None and f'pip install "{pinned[1]}"' in dockerfile
    assert "ARG TORCH=cpu\n" in dockerfile and "whl/${TORCH}" in dockerfile


def test_the_container_is_nobody_special(dockerfile: str) -> None:
    user = re.findall(r"^USER (\w+)$", dockerfile, re.MULTILINE)
    assert user[-1:] == ["user"] and dockerfile.index("USER user") < dockerfile.index("ENTRYPOINT")


def test_the_dev_container_sets_up_by_make(repository: Path) -> None:
    text = (repository / ".devcontainer/devcontainer.json").read_text(encoding="utf-8")
    make, *named = json.loads(text)["postCreateCommand"].split()
    assert make == "make" and set(named) <= targets(repository)
