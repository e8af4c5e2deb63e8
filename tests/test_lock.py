"""What is asked for lies above known advisories, and what is locked is what is asked for."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FIXED = {
    "diffusers": ("0.38.0", "CVE-2026-44513, CVE-2026-44827: code of a model that nobody trusted"),
    "pillow": ("12.3.0", "CVE-2026-59199, CVE-2026-59205 and twelve more: heap writes, bombs"),
    "pytorch-lightning": ("2.6.6", "CVE-2026-58659: code from a checkpoint"),
    "torch": ("2.10.0", "CVE-2026-24747: memory corruption by weights_only=True"),
    "transformers": ("5.5.0", "CVE-2026-5241, CVE-2026-4372: code of a model nobody trusted"),
}
"""First versions without the advisories that were known in November 2026."""


@pytest.fixture
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def lock(repository: Path) -> dict[str, Version]:
    lines = (repository / "requirements/lock-3.11.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!]+", line)] == []
    pairs = (line.split("==") for line in lines)
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize("name", FIXED)
def test_the_oldest_version_allowed_has_no_known_advisory(project, name: str) -> None:
    found = [Requirement(line) for line in project["dependencies"]]
    (requirement,) = (one for one in found if canonicalize_name(one.name) == name)
    lowest = min(Version(part.version) for part in requirement.specifier if part.operator == ">=")
    assert lowest >= Version(FIXED[name][0]), FIXED[name][1]


def test_the_lock_holds_a_version_of_all_that_is_asked_for(project, lock) -> None:
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in map(Requirement, asked):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
            name = canonicalize_name(requirement.name)
            assert name in lock, f"{name} is missing; make lock"
            assert requirement.specifier.contains(lock[name]), f"{name}: {lock[name]}; make lock"


@pytest.fixture
def locked_by_uv(repository: Path) -> list[dict[str, Any]]:
    return tomllib.loads((repository / "uv.lock").read_text(encoding="utf-8"))["package"]


def test_the_lock_of_uv_names_no_registry_but_the_public_one(repository: Path) -> None:
    text = (repository / "uv.lock").read_text(encoding="utf-8")
    assert set(re.findall(r'registry = "([^"]+)"', text)) == {"https://pypi.org/simple"}
    hosts = set(re.findall(r'url = "https?://([^/"]+)', text))
    assert hosts == {"files.pythonhosted.org"}


def test_the_lock_of_uv_holds_a_version_of_all_that_is_asked_for(project, locked_by_uv) -> None:
    versions: dict[str, list[Version]] = {}
    for package in locked_by_uv:
        if "version" in package:
            versions.setdefault(package["name"], []).append(Version(package["version"]))
    extras = project["optional-dependencies"].values()
    for requirement in map(
        Requirement, [*project["dependencies"], *(r for e in extras for r in e)]
    ):
        found = versions.get(canonicalize_name(requirement.name), [])
        assert any(map(requirement.specifier.contains, found)), f"{requirement}; uv lock"
