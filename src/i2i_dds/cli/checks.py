"""Values of the wrong kind are refused before anything is loaded or written.

A command lists what it takes, once::

    check(cfg, {
        "steps": integer(min=1),
        "lr": number(above=0),
        "score.mode": choice("resize", "crop"),
        "prompt.source": text(empty=True),
        "mask": optional(text()),
    })
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.suggest import did_you_mean
from i2i_dds.errors import UserError

_ABSENT = object()


@dataclass(frozen=True)
class Rule:
    """What one key allows.

    Attributes:
        allowed: The words that end the sentence, such as "a whole number of at least 1".
        accepts: Whether a value is allowed.
        options: The texts that are allowed, where they can be listed.
    """

    allowed: str
    accepts: Callable[[Any], bool]
    options: tuple[str, ...] = ()


def check(cfg: DictConfig, rules: Mapping[str, Rule]) -> None:
    """Checks the values at dotted keys.

    Raises:
        UserError: For the first key whose value its rule does not accept.
    """
    for key, rule in rules.items():
        value = OmegaConf.select(cfg, key, default=_ABSENT, throw_on_missing=True)
        if value is _ABSENT:
            raise UserError(f"{key}: no such key in this config; give {rule.allowed}")
        if not rule.accepts(value):
            hint = did_you_mean(value, rule.options)
            raise UserError(f"{key}: {value!r} is not allowed{hint}; give {rule.allowed}")


def integer(min: int | None = None, max: int | None = None) -> Rule:
    """A whole number in [min, max]; either bound may be open."""
    return Rule(
        "a whole number" + _bounds(min, max),
        lambda value: (
            isinstance(value, int) and not isinstance(value, bool) and _inside(value, min, max)
        ),
    )


def number(
    min: float | None = None,
    max: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Rule:
    """A finite number in [min, max]; ``above`` and ``below`` are bounds that are left out."""
    ends = [f" above {above:g}"] if above is not None else []
    ends += [f" below {below:g}"] if below is not None else []
    return Rule(
        "a number" + _bounds(min, max) + " and".join(ends),
        lambda value: (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and _inside(value, min, max)
            and (above is None or value > above)
            and (below is None or value < below)
        ),
    )


def flag() -> Rule:
    """True or false."""
    return Rule("true or false", lambda value: isinstance(value, bool))


def text(empty: bool = False) -> Rule:
    """A string, which may be blank only if ``empty``."""
    return Rule(
        "a text" if empty else "a text that is not empty",
        lambda value: isinstance(value, str) and (empty or bool(value.strip())),
    )


def choice(*options: Any) -> Rule:
    """One of ``options``."""
    return Rule(
        "one of " + ", ".join(map(str, options)),
        lambda value: any(value == option and type(value) is type(option) for option in options),
        tuple(option for option in options if isinstance(option, str)),
    )


def several(rule: Rule) -> Rule:
    """One value that ``rule`` accepts, or a list of at least one of them."""
    return replace(
        rule,
        allowed=f"{rule.allowed}, or a list of such",
        accepts=lambda value: (
            rule.accepts(value)
            or (OmegaConf.is_list(value) and len(value) > 0 and all(map(rule.accepts, value)))
        ),
    )


def listed(value: Any) -> list[Any]:
    """What :func:`several` accepts, as a list."""
    return list(value) if OmegaConf.is_list(value) else [value]


def optional(rule: Rule) -> Rule:
    """What ``rule`` accepts, or null."""
    return replace(
        rule,
        allowed=f"{rule.allowed}, or null",
        accepts=lambda value: value is None or rule.accepts(value),
    )


def _inside(value: float, min: float | None, max: float | None) -> bool:
    return (min is None or value >= min) and (max is None or value <= max)


def _bounds(min: float | None, max: float | None) -> str:
    if min is not None and max is not None:
        return f" from {min:g} to {max:g}"
    if min is not None:
        return f" of at least {min:g}"
    return "" if max is None else f" of at most {max:g}"
