"""Pages of the manual as what stands in their code blocks."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
WORKED = sorted((DOCS / "extend").glob("*.md"))
GUIDES = [
    DOCS / "first_steps.md",
    DOCS / "dashboards.md",
    *sorted((DOCS / "guides").glob("*.md")),
    *sorted((DOCS / "migrate").glob("*.md")),
]

_BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code: a file where it has a title, else something to run."""

    language: str
    title: str
    code: str


def blocks(page: Path) -> list[Block]:
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(language, title, code) for language, title, code in found]


def write_files(page: Path, folder: Path) -> None:
    """Writes what the page says stands in files."""
    for block in blocks(page):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")


def commands(page: Path) -> list[list[str]]:
    """What the page types behind ``i2i``, in order."""
    lines = [
        shlex.split(line, comments=True)
        for block in blocks(page)
        if block.language == "sh"
        for line in block.code.replace("\\\n", " ").splitlines()
    ]
    return [line[line.index("i2i") + 1 :] for line in lines if "i2i" in line]
