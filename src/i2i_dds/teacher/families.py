"""What kinds of models there are: each is a file of ``conf/teacher`` that lists ``pipelines``.

Nothing heavy is imported here: the commands look before they compose their settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from i2i_dds.errors import UserError
from i2i_dds.reading import read_object
from i2i_dds.teacher.presets import config_dir

INDEX = "model_index.json"

POCKETS = {"pocket": "teacher", "pocket_flow": "flow/teacher"}
"""Names of the shipped teachers, and where each lies in the folder of the pocket weights."""


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        choice: The file of ``conf/teacher`` with its presets, what ``teacher=`` takes.
        target: What loads it, as the file's ``_target_`` has it.
        pipelines: Those of diffusers that may hold its networks: text to image comes first.
    """

    choice: str
    target: str
    pipelines: tuple[str, ...]

    def load(self, path: str, **options: Any) -> Any:
        """The teacher at ``path``; see :meth:`LatentTeacher.load`."""
        kind, _, method = self.target.rpartition(".")
        module, _, name = kind.rpartition(".")
        return getattr(getattr(import_module(module), name), method)(path, **options)


@cache
def families() -> dict[str, Family]:
    """Every family by its ``choice``."""
    found = {}
    for file in sorted((config_dir() / "teacher").glob("*.yaml")):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        if "pipelines" in content:
            pipelines = tuple(content["pipelines"])
            found[file.stem] = Family(file.stem, content["_target_"], pipelines)
    return found


def family_of(pipeline: str, path: str) -> Family:
    """The family of a pipeline of diffusers.

    Args:
        pipeline: Its name.
        path: Where it was found, for the error.

    Raises:
        UserError: It is none that is supported.
    """
    for family in families().values():
        if pipeline in family.pipelines:
            return family
    known = ", ".join(family.pipelines[0] for family in families().values())
    raise UserError(f"path: '{path}' is a {pipeline:.60}; give one of {known}")


def check_family(pipeline: str, path: str, wanted: Family) -> None:
    """Refuses a checkpoint of another family than is wanted, and says which ``teacher=`` fits.

    Raises:
        UserError: It is one.
    """
    if pipeline in wanted.pipelines:
        return
    other = [family for family in families().values() if pipeline in family.pipelines]
    advice = f"give a {wanted.pipelines[0]}" + (f", or teacher={other[0].choice}" if other else "")
    raise UserError(f"path: '{path}' is a {pipeline:.60}; {advice}")


def pipeline_in(index: Path) -> str:
    """The name of the pipeline that a ``model_index.json`` describes.

    Raises:
        UserError: The file is damaged.
    """
    return str(read_index(index).get("_class_name"))


def read_index(index: Path) -> dict[str, Any]:
    """What a ``model_index.json`` says.

    Raises:
        UserError: The file is damaged.
    """
    return read_object(index, "path", "a whole folder")
