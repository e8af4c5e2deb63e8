"""What values are allowed, and one sentence for one that is not.

An object that checks its own fields names a rule beside each::

    @dataclass(frozen=True)
    class Settings:
        steps: int = checked(integer(min=1), default=20)
        samplers: Sequence[str] = checked(several(choice("sde", "ode")), default=("sde", "ode"))

        def __post_init__(self) -> None:
            check_fields(self)
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

from i2i_dds.errors import UserError

_RULE = "rule"


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


def require(name: str, value: Any, rule: Rule) -> None:
    """Refuses a value that the rule does not accept.

    Raises:
        UserError: Naming the argument, the value and what is allowed.
    """
    if not rule.accepts(value):
        hint = did_you_mean(value, rule.options)
        raise UserError(f"{name}: {value!r} is not allowed{hint}; give {rule.allowed}")


def checked(rule: Rule, **options: Any) -> Any:
    """A dataclass field with its rule; ``options`` are those of :func:`dataclasses.field`."""
    return field(metadata={_RULE: rule}, **options)


def check_fields(settings: Any) -> None:
    """Checks every field of a dataclass that has a rule.

    Raises:
        UserError: For the first field whose value its rule does not accept.
    """
    for one in fields(settings):
        if _RULE in one.metadata:
            require(one.name, getattr(settings, one.name), one.metadata[_RULE])


@contextmanager
def called(names: Mapping[str, str]) -> Iterator[None]:
    """Inside, a refusal of an argument names what the caller calls it.

    ::

        with called({"steps": "num_inference_steps"}):
            SDEdit(steps=num_inference_steps)

    Args:
        names: Argument -> the caller's name for it; others stay as they are.

    Raises:
        UserError: The refusal under the caller's name.
    """
    try:
        yield
    except UserError as error:
        argument, colon, reason = str(error).partition(":")
        if not colon or names.get(argument, argument) == argument:
            raise
        raise UserError(f"{names[argument]}:{reason}") from error


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
            is_number(value)
            and _inside(value, min, max)
            and (above is None or value > above)
            and (below is None or value < below)
        ),
    )


def is_number(value: Any) -> bool:
    """Whether it is a finite number, which a float can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits, as JSON may have
        return False


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
            or (isinstance(value, list | tuple) and bool(value) and all(map(rule.accepts, value)))
        ),
    )


def as_list(value: Any) -> list[Any]:
    """A list or tuple as a list; anything else as one entry."""
    return list(value) if isinstance(value, list | tuple) else [value]


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


def did_you_mean(typed: object, known: Iterable[str]) -> str:
    """Names the known word that is nearest to the typed one.

    Args:
        typed: What was typed; anything but a string is like no word.
        known: The words that are allowed.

    Returns:
        " (did you mean 'cat2lion'?)", or nothing where no word is near.
    """
    lowered = {word.lower(): word for word in known}
    word = typed.lower() if isinstance(typed, str) else ""
    close = difflib.get_close_matches(word, lowered)
    swapped = [near for near in close if sorted(near) == sorted(word)]  # letters change places
    return meant(lowered[near] for near in (swapped or close)[:1])


def meant(names: Iterable[str]) -> str:
    """The question that asks whether one of ``names`` was meant, or nothing if there is none."""
    words = " or ".join(repr(name) for name in names)
    return f" (did you mean {words}?)" if words else ""
