"""From the argument that an object refuses to the key that a user types for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from i2i_dds.checks import called
from i2i_dds.cli.arguments import literal_text
from i2i_dds.errors import UserError

_REFERENCE = re.compile(r"\$\{(\.*)([\w.]+)\}")
"""A value that is that of another key: ``${steps}``, or ``${..steps}`` from two levels up."""

_PRESETS = "teacher.presets."
"""Keys whose values others take unless they are typed."""


def build(cfg: DictConfig, node: str, **options: Any) -> Any:
    """The object that the config describes at ``node``.

    Args:
        cfg: The whole config.
        node: A dotted key, such as "callbacks.pictures".
        **options: Arguments beside those of the config.

    Raises:
        UserError: An argument is refused; the message names the key that it was typed as.
    """
    with typed_keys(cfg, node):
        # Hydra resolves what the node refers to in place; the config shall go on referring.
        part = OmegaConf.select(deepcopy(cfg), node)
        _keep_literal(part)
        return instantiate(part, **options)


def _keep_literal(part: Any) -> None:
    """Escapes texts that look like references once more, for Hydra resolves them twice."""
    if not OmegaConf.is_config(part):
        return
    names: Any = list(part) if OmegaConf.is_dict(part) else range(len(part))
    for name in names:
        if OmegaConf.is_missing(part, name):
            continue
        value = part[name]
        if isinstance(value, str) and "${" in value:
            with open_dict(part), read_write(part):
                part[name] = literal_text(literal_text(value))
        elif not OmegaConf.is_interpolation(part, name):
            _keep_literal(value)


@contextmanager
def typed_keys(cfg: DictConfig, node: str) -> Iterator[None]:
    """Inside, a refused argument of what was built from ``node`` is named by its typed key.

    Raises:
        UserError: As it was raised inside, under that name.
    """
    try:
        yield
    except UserError as error:
        _raise(cfg, node, error)
    except InstantiationException as error:
        if not isinstance(error.__cause__, UserError):
            raise
        deeper = re.search(r"^full_key: (.+)$", str(error), re.MULTILINE)
        _raise(cfg, deeper[1] if deeper else node, error.__cause__)


def typed_key(cfg: DictConfig, key: str) -> str | None:
    """The key that ``key`` takes its value from, and so the one to type.

    A value that refers to another key is followed to that one, and on from there; at the
    teacher's presets it ends, for they are typed under the keys that take them.

    Args:
        cfg: The whole config.
        key: A dotted key.

    Returns:
        None where there is no such key.
    """
    value: Any = OmegaConf.to_container(cfg, resolve=False)
    path, wanted = [], key.split(".")
    while wanted:
        if not isinstance(value, dict) or wanted[0] not in value:
            return None
        name = wanted.pop(0)
        path.append(name)
        value = value[name]
        reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if reference is not None:
            dots, there = reference.groups()
            above = path[: -len(dots)] if dots else []
            other = ".".join([*above, there, *wanted])
            preset = other.startswith(_PRESETS)
            return ".".join([*path, *wanted]) if preset else typed_key(cfg, other)
    return ".".join(path)


def _raise(cfg: DictConfig, node: str, error: UserError) -> None:
    argument = str(error).partition(":")[0]
    with called({argument: typed_key(cfg, f"{node}.{argument}") or argument}):
        raise error
