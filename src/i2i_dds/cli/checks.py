"""Values of a config of the wrong kind are refused before anything is loaded or written.

A command lists what it takes, once, with the rules of :mod:`i2i_dds.checks`::

    check(cfg, {"steps": integer(min=1), "mask": optional(text())})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import Rule, require
from i2i_dds.errors import UserError

_ABSENT = object()


def check(
    cfg: DictConfig, rules: Mapping[str, Rule], typed: Mapping[str, str] | None = None
) -> None:
    """Checks the values at dotted keys.

    Args:
        cfg: The composed config.
        rules: By key, as it is typed.
        typed: What the config calls a key that is typed otherwise, see ``entry_point``.

    Raises:
        UserError: For the first key whose value its rule does not accept.
    """
    for key, rule in rules.items():
        path = (typed or {}).get(key, key)
        value = OmegaConf.select(cfg, path, default=_ABSENT, throw_on_missing=True)
        if value is _ABSENT:
            raise UserError(f"{key}: no such key in this config; give {rule.allowed}")
        require(key, OmegaConf.to_object(value) if OmegaConf.is_list(value) else value, rule)


def listed(value: Any) -> list[Any]:
    """What :func:`i2i_dds.checks.several` accepts, as a list."""
    return list(value) if OmegaConf.is_list(value) else [value]
