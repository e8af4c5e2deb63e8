"""The page's own pieces of HTML; what a person typed is escaped in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def header(teacher: str) -> str:
    """The page's head."""
    return (
        '<div class="i2i-head"><h1>i2i_dds</h1>'
        "<p>Edit images with the Delta Denoising Score of a frozen teacher.</p>"
        f'<span class="i2i-chip" title="the teacher">{escape(teacher)}</span></div>'
    )


def status(text: str, done: float | None = None, kind: str = "idle") -> str:
    """A line with a bar.

    Args:
        text: The line.
        done: Share of the work that is done, in [0, 1]; None hides the bar.
        kind: "idle", "busy", "done" or "error".
    """
    width = 0 if done is None else round(100 * min(max(done, 0.0), 1.0))
    bar = f'<div class="i2i-bar"><div style="width:{width}%"></div></div>'
    role = "alert" if kind == "error" else "status"
    return f'<div class="i2i-status {kind}" role="{role}"><span>{escape(text)}</span>{bar}</div>'


def table(settings: Mapping[str, Any]) -> str:
    """Names and values, a row each."""
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
        for name, value in settings.items()
        if value is not None
    )
    return f'<table class="i2i-table">{rows}</table>' if rows else ""


def caption(text: str) -> str:
    """A line over a component."""
    return f'<p class="i2i-caption">{escape(text)}</p>'


def rows(content: Sequence[Mapping[str, Any]]) -> str:
    """A table with a heading for each name of the first row."""
    if not content:
        return ""
    names = list(content[0])
    head = "".join(f"<th>{escape(str(name))}</th>" for name in names)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(str(row.get(name, '')))}</td>" for name in names) + "</tr>"
        for row in content
    )
    body = f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody>"
    return f'<div class="i2i-scroll"><table class="i2i-table i2i-rows">{body}</table></div>'
