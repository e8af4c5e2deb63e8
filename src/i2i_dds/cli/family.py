"""``teacher=auto``: which file of ``conf/teacher`` fits a checkpoint, before Hydra composes."""

from __future__ import annotations

from collections.abc import Sequence

from i2i_dds.checks import called
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded
from i2i_dds.teacher.families import INDEX, POCKETS, families, family_of, pipeline_in
from i2i_dds.teacher.single_file import is_weights_file, layout_of

_AUTO = "teacher=auto"
_PATH = "teacher.path="


def name_family(arguments: Sequence[str]) -> list[str]:
    """Puts the family's choice in the place of ``teacher=auto``, so that its presets are used.

    Args:
        arguments: The command line without the program's name.

    Raises:
        UserError: There is no ``teacher.path`` that tells the family.
    """
    if _AUTO not in arguments:
        return list(arguments)
    paths = [one.removeprefix(_PATH) for one in arguments if one.startswith(_PATH)]
    if not paths:
        raise UserError(f"teacher.path: {_AUTO} wants one; give {_PATH}<folder>")
    choice = _choice(paths[-1])
    return [f"teacher={choice}" if one == _AUTO else one for one in arguments]


def _choice(path: str) -> str:
    if path in POCKETS:
        return path
    if is_weights_file(path):
        with called({"path": "teacher.path"}):
            return layout_of(path).choice
    index = expanded(path) / INDEX
    if not index.is_file():
        choices = ", ".join(f"teacher={choice}" for choice in families())
        raise UserError(
            f"teacher.path: '{path}' holds no {INDEX} that tells {_AUTO} its family; "
            f"give a folder in diffusers' format or a .safetensors file, or one of {choices}"
        )
    with called({"path": "teacher.path"}):
        return family_of(pipeline_in(index), path).choice
