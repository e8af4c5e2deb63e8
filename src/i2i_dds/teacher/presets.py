"""What works best with each teacher: the ``presets`` blocks of ``conf/teacher/*.yaml``.

The commands read the same blocks through Hydra, so that a command and Python run the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Presets = Mapping[str, Any]
"""Settings by editor, such as ``presets["zero_shot"]["lr"]``; ``presets["source"]`` says whence."""


def config_dir() -> Path:
    """Finds ``conf/``: the checkout's where this runs from one, else the installed package's."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf").is_dir():
        return checkout / "conf"
    return package / "conf"


def presets_for(path: str, family: str = "sd15") -> Presets:
    """The presets of the teacher at ``path``.

    Args:
        path: "pocket", a hub id that a file of ``conf/teacher`` names, or anything else, which
            gets those of its family.
        family: The file of ``conf/teacher`` with the family's presets.
    """
    named = _presets_by_path()
    return named.get(path, named[family])


@cache
def _presets_by_path() -> dict[str, Presets]:
    found: dict[str, Presets] = {}
    for file in sorted((config_dir() / "teacher").glob("*.yaml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if "presets" in content:
            found[content["path"]] = found[file.stem] = content["presets"]
    return found
