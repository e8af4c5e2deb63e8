"""Text files of others, and their lines."""

from __future__ import annotations

import re
from pathlib import Path

from i2i_dds.errors import UserError
from i2i_dds.reading import expanded, read_file


def read_prompts(path: str | Path, argument: str = "prompts") -> list[str]:
    """The prompts of a text file, one a line; empty lines are passed over.

    Raises:
        UserError: no such file, or nothing in it.
    """
    lines = read_lines(expanded(path), argument)
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"{argument}: '{path}' holds no prompt; write one a line")
    return prompts


def read_text(path: Path, argument: str) -> str:
    """A text file in UTF-8, without the mark that some editors put first.

    Raises:
        UserError: no such file, or another encoding.
    """
    data = read_file(path, argument, "a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{argument}: '{path}' is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error


def read_lines(path: Path, argument: str) -> list[str]:
    """The lines of a text file.

    Only the marks of a text file end one: U+2028 and its like, which ``str.splitlines`` also takes
    for such, stand within prompts and JSON.

    Raises:
        UserError: as ``read_text``.
    """
    return re.split(r"\r\n|\r|\n", read_text(path, argument))
