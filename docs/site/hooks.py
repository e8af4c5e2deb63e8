"""What the manual's build does beside MkDocs: formulas as MathML, and links that leave it."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?!\w+/)[A-Z][^)\s]*\)")
"""Markdown links to files of the repository's root, such as ``../README.md#results``."""


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Leaves the words of a link to a file that is not part of the manual."""
    return _OUTSIDE.sub(r"\1", markdown)


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Writes formulas as MathML, which browsers draw by themselves: no script, no font."""

    def mathml(found: re.Match[str]) -> str:
        display = "block" if found["tag"] == "div" else "inline"
        return convert(html.unescape(found["tex"]).strip(), display=display)

    return _FORMULA.sub(mathml, content)
