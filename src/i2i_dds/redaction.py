"""Secrets are shown to nobody: not in files, not on the screen, not to a logger."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

REDACTED = "<redacted>"

_NAME = (
    r"(?:auth(?!or(?!i[sz]))|token|secret|passw|passphrase|credential|"
    r"(?<!mon)(?<!don)(?<!tur)key(?!board|point|frame|word))"
)
"""In a key's name; authors, monkeys and keyboards are none."""

_SECRET = re.compile(_NAME, re.IGNORECASE)
_URL = re.compile(r"\b([a-z][a-z0-9+.-]+\\*:/{1,2})[^/\s'\"]+@", re.IGNORECASE)
_VALUE = r"('[^']*'|\"[^\"]*\"|[^\s&;,'\"})\]]+)"
_QUERY = re.compile(rf"([?&][\w.-]*{_NAME}[\w.-]*=){_VALUE}", re.IGNORECASE)
_PAIR = re.compile(rf"((?<![\w.])(?!key=)[\w.@/+~-]*{_NAME}[\w.-]*=){_VALUE}", re.IGNORECASE)
_INLINE = re.compile(
    rf"((?<![\w.])[\w.'\"-]*{_NAME}[\w.'\"-]*\s*:\s*)(?!null|true|false|''){_VALUE}",
    re.IGNORECASE,
)
_IN_BRACES = re.compile(rf"([{{,]\s*[\w.'\"-]*{_NAME}[\w.'\"-]*\s*:\s*){_VALUE}", re.IGNORECASE)
_LINE = re.compile(
    rf"^(\s*(?:- )?[\w.-]*{_NAME}[\w.-]*: )(?!null$|true$|false$)(\S.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that are not written but obeyed, but for a tab and the end of a line."""

_SHORTEST = 12
"""Characters of an environment variable's value that is looked for; shorter ones are words."""


def is_secret(key: str) -> bool:
    """Whether a key's name says that its value is a secret."""
    return _SECRET.search(key) is not None


def redact(value: Any, key: str = "") -> Any:
    """Nested values, with what is secret replaced.

    Args:
        value: Any nesting of dicts and lists.
        key: The name it stands under; all texts and numbers below a secret's name are secret.
    """
    hidden = bool(key) and is_secret(key)
    if isinstance(value, Mapping):
        return {name: redact(item, key if hidden else str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item, key) for item in value]
    if isinstance(value, str):
        return REDACTED if hidden and value not in ("", "???") else redact_text(value)
    return REDACTED if hidden and isinstance(value, int) and not isinstance(value, bool) else value


def redact_override(argument: str) -> str:
    """``key=value`` as it was typed, without the value where it is secret."""
    key, equals, value = argument.partition("=")
    if not equals:
        return argument
    if value[:1] in ("{", "["):
        value = _INLINE.sub(rf"\1{REDACTED}", value)
    return f"{key}={REDACTED if is_secret(key) else redact_text(value)}"


def redact_text(text: str) -> str:
    """A value without credentials in URLs and without what secret environment variables hold."""
    text = _QUERY.sub(rf"\1{REDACTED}", _URL.sub(rf"\1{REDACTED}@", text))
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and is_secret(name) and value[0] != "/":
            text = text.replace(value, REDACTED)
    return text


def redact_line(text: str) -> str:
    """What is said to a person: as ``redact_text``, and without the values of ``token=...``."""
    return _PAIR.sub(rf"\1{REDACTED}", _IN_BRACES.sub(rf"\1{REDACTED}", redact_text(text)))


def redact_yaml(text: str) -> str:
    """As ``redact_line``, and without what stands behind the colon of a secret's name."""
    return redact_line(_INLINE.sub(rf"\1{REDACTED}", _LINE.sub(rf"\1{REDACTED}", text)))


def printable(text: str) -> str:
    """Without characters by which a file's name could move the cursor, or color the screen."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class RedactingFormatter(logging.Formatter):
    """Of everything that a command logs."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, Python's own name
        """The line without what may follow it, such as a traceback."""
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The line, without secrets."""
        return redact_line(super().format(record))
