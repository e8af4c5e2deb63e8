"""Reading what others wrote: regular files of a bounded size, and JSON of any depth.

A pipe would be waited for without end, and a device read without end.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from i2i_dds.errors import UserError

LARGEST_FILE = 2**30
"""Bytes of a picture or a text."""

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""Of a character that JSON writes in two parts; one part without the other is none."""


def expanded(path: str | Path) -> Path:
    """A path with the home folder for ``~``, as a shell does; a file may be called ``~a.png``."""
    return Path(os.path.expanduser(path))


def read_file(path: str | Path, argument: str, wanted: str, largest: int = LARGEST_FILE) -> bytes:
    """All of a regular file, or of what a link leads to.

    Args:
        path: The file; ``~`` is the home folder.
        argument: What the caller calls it, for errors.
        wanted: What to give instead, for errors, such as "a picture file".
        largest: Bytes that are allowed.

    Raises:
        UserError: It does not exist, is no regular file, is too large or may not be read.
    """
    path = expanded(path)
    try:
        if path.is_file():
            if path.stat().st_size > largest:
                reason = f"is larger than {largest / 2**20:g} MiB"
            else:
                return path.read_bytes()
        else:
            reason = _what_is_there(path)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    raise UserError(f"{argument}: '{path}' {reason}; give {wanted}")


def read_object(path: str | Path, argument: str, wanted: str) -> dict[str, Any]:
    """The JSON object in a file; arguments as of :func:`read_file`.

    Raises:
        UserError: As there, or it holds something else.
    """
    data = read_file(path, argument, wanted)
    try:
        return parse_object(data)
    except ValueError as error:
        raise UserError(
            f"{argument}: '{path}' cannot be read as JSON ({error}); give {wanted}"
        ) from error


def is_text(name: str) -> bool:
    """Whether it can be written in UTF-8, as the bytes of a file's name need not be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text, in UTF-8 with or without a mark.

    Raises:
        ValueError: It is none, is in another encoding, is nested too deeply, or a text of it
            holds half a character.
    """
    text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    try:
        value = json.loads(text)
        if _HALF.search(text) and not is_text(json.dumps(value, ensure_ascii=False)):
            raise ValueError("a text in it holds half a character")
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def parse_object(data: bytes | str) -> dict[str, Any]:
    """The JSON object of a text, as :func:`parse_json`.

    Raises:
        ValueError: As there, or it is something else than an object.
    """
    value = parse_json(data)
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    return value


def _what_is_there(path: Path) -> str:
    if path.is_dir():
        return "is a folder"
    if path.exists():
        return "is no regular file"
    return "is a link to nothing" if path.is_symlink() else "does not exist"
