"""How the API page reads docstrings: Sphinx's roles and examples as Markdown has them."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([^`]+)`")
_PROMPT = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
_CODE = re.compile(r"^::\n\n((?:    .*(?:\n|$)|\n(?=    ))+)", re.MULTILINE)


def to_markdown(docstring: str) -> str:
    """A docstring whose names and examples Markdown shows as code."""
    text = _ROLE.sub(r"`\1`", docstring)
    text = _PROMPT.sub(lambda found: f"```pycon\n{found[0]}\n```", text)
    return _CODE.sub(lambda found: f"```python\n{_dedented(found[1])}\n```\n", text)


def _dedented(code: str) -> str:
    return "\n".join(line[4:] for line in code.rstrip().splitlines())


class MarkdownDocstrings(Extension):
    """Rewrites each docstring when its object is read."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrites one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
