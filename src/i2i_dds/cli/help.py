"""What ``--help`` says: examples, what a command chooses from, and its own settings.

All of it is read from the command's file in ``conf/``, whose comments are its documentation, and
the values from the config as it is composed with what was typed.
"""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from i2i_dds.redaction import redact, redact_line

_WIDTH = 100
_SILENT = frozenset({"defaults", "hydra", "paths"})
"""Blocks of a root config that are no settings of the command's."""
_PLUMBING = frozenset({"_target_", "_partial_", "_convert_"})
_EXAMPLE = "#   "
_GLOBAL = "# @package _global_"
_LINE = re.compile(r"(?P<indent> *)(?P<dash>- )?(?P<key>[\w@./-]+):(?P<rest>.*)")
_COMMENT = re.compile(r"(?:^|\s)\s*# ?(.*)$")


@dataclass
class _Entry:
    """A key of a file.

    Attributes:
        depth: How many keys it is below.
        path: Dotted, from the top.
        value: As it is written.
        comment: Behind it and on the lines below, in lines.
        above: Comments on lines of their own before it.
    """

    depth: int
    path: str
    value: str
    comment: list[str]
    above: list[str]


def command_help(file: Path, cfg: DictConfig, names: Callable[[str], list[str]], typed: str) -> str:
    """The whole text.

    Args:
        file: The command's root config.
        cfg: As composed, with Hydra's own node.
        names: What can be chosen of a group.
        typed: How the command was called.
    """
    text, choices = file.read_text(encoding="utf-8"), cfg.hydra.runtime.choices
    what, notes = _head(text)
    parts = [
        what,
        f"Usage: {typed} [group=choice ...] [key=value ...]\n"
        "  -m              sweep: key=1,2,3 runs once for each\n"
        "  --cfg job       print every setting, those of all groups too, and stop\n"
        "  --info          say where each setting comes from",
        _titled("Examples", _examples(text, file.stem, typed)),
        notes,
        _titled("Choices (group=choice)", _choices(text, choices, names)),
        _titled("Settings (key=value)", _settings(text, cfg)),
    ]
    for group, choice in choices.items():
        chosen = file.parent / str(group) / f"{choice}.yaml"
        if "@" not in str(group) and chosen.is_file():
            content = chosen.read_text(encoding="utf-8")
            if content.startswith(_GLOBAL):
                parts.append(_titled(f"Settings of {group}={choice}", _settings(content, cfg)))
    return "\n\n".join(part for part in parts if part)


def _titled(title: str, lines: Iterator[str]) -> str:
    body = "\n".join(f"  {line}".rstrip() for line in lines).rstrip()
    return f"{title}\n{body}" if body else ""


def _examples(text: str, own: str, typed: str) -> Iterator[str]:
    """The indented lines of the comment that heads a file, called as this was."""
    before = typed.removesuffix(own.replace("_", "-"))

    def called(found: re.Match[str]) -> str:
        other = (found[1] or found[2]).replace("-", "_")
        if other == own:
            return typed
        # Another command's line: it is called alike where that says a command's name alone.
        return before + other.replace("_", "-") if before != typed else found[0]

    for line in _heading(text):
        if line.startswith(_EXAMPLE):
            yield re.sub(r"^(?:python (?:scripts/)?(\w+)\.py|i2i ([a-z-]+))", called, line[4:])


def _head(text: str) -> tuple[str, str]:
    """What that comment says before its examples, as a sentence, and after them."""
    lines = list(_heading(text))
    examples = [i for i, line in enumerate(lines) if line.startswith(_EXAMPLE)]
    before = lines[: examples[0] if examples else len(lines)]
    after = lines[examples[-1] + 1 :] if examples else []
    said = "\n".join(line.removeprefix("# ") for line in before)
    return re.sub(r":$", ".", said), "\n".join(line.removeprefix("# ") for line in after)


def _heading(text: str) -> Iterator[str]:
    yield from takewhile(lambda line: line.startswith("#"), text.splitlines())


def _choices(
    text: str, choices: Mapping[str, Any], names: Callable[[str], list[str]]
) -> Iterator[str]:
    """Groups in the file's order, then those that its choices bring; of each the names."""
    said = {entry.path.split(".")[-1]: entry for entry in _entries(text, "defaults")}
    groups = [*said, *(str(group) for group in choices if str(group) not in said)]
    for group in groups:
        if group.split("/")[0] in _SILENT:
            continue
        value = choices.get(group, said[group].value if group in said else None)
        comment = " ".join(said[group].comment) if group in said else ""
        yield from _commented(f"{group}={_as_yaml(value)}", [comment] if comment else [])
        listed = ", ".join(names(group.partition("@")[0]))
        yield from textwrap.wrap(
            listed, _WIDTH - 8, initial_indent="    ", subsequent_indent="    "
        )


def _commented(line: str, comment: list[str]) -> Iterator[str]:
    """A line with its comment beside it, which goes on below."""
    for i, said in enumerate(comment or [""]):
        yield f"{'' if i else line:24}{'  # ' if said else ''}{said}"


def _settings(text: str, cfg: DictConfig) -> Iterator[str]:
    """Own keys with the values that hold and the comments beside them."""
    entries = [entry for entry in _entries(text) if not _is_plumbing(entry)]
    for i, entry in enumerate(entries):
        below = entries[i + 1].depth > entry.depth if i + 1 < len(entries) else False
        if not below and not entry.value and isinstance(_value(entry, cfg), dict):
            continue  # a node of plumbing alone
        yield from (f"{'  ' * entry.depth}# {line}" for line in entry.above)
        shown = "" if below else f" {_as_yaml(_value(entry, cfg))}"
        line = f"{'  ' * entry.depth}{entry.path.split('.')[-1]}:{shown}"
        yield from _commented(line, entry.comment)


def _is_plumbing(entry: _Entry) -> bool:
    """What hands a setting on, or says which class is made of it."""
    return entry.path.split(".")[-1] in _PLUMBING or entry.value.startswith(("${..", "${hydra:"))


def _entries(text: str, block: str | None = None) -> Iterator[_Entry]:
    """The keys of a YAML file, or of one of its blocks, in order, with their comments."""
    stack: list[tuple[int, str]] = []
    found: _Entry | None = None
    above: list[str] = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None or line.lstrip().startswith("#"):
            bare = _COMMENT.search(line)
            if bare is None:
                above = []
                found = None if not line.strip() else found
            elif found is not None and line.startswith("  "):
                found.comment.append(bare[1])
            else:
                above.append(bare[1])
            continue
        indent = len(match["indent"])
        while stack and stack[-1][0] >= indent:
            stack.pop()
        stack.append((indent, match["key"]))
        top = stack[0][1]
        wanted = top == block if block else top not in _SILENT
        comment = _COMMENT.search(match["rest"])
        value = match["rest"][: comment.start()] if comment else match["rest"]
        entry = _Entry(
            depth=len(stack) - 1,
            path=".".join(key for _, key in stack),
            value=value.strip(),
            comment=[comment[1]] if comment else [],
            above=above,
        )
        found, above = entry, []
        if wanted and (block is None or len(stack) > 1):
            yield entry


def _value(entry: _Entry, cfg: DictConfig) -> Any:
    """What holds for a key, with interpolations followed where they lead somewhere."""
    try:
        value = OmegaConf.select(cfg, entry.path, throw_on_missing=False)
    except OmegaConfBaseException:
        return entry.value
    if OmegaConf.is_config(value):
        try:
            return redact(OmegaConf.to_container(value, resolve=True))
        except OmegaConfBaseException:
            return entry.value
    if value is None and entry.value == "???":
        return "???"
    return redact_line(value) if isinstance(value, str) else value


def _as_yaml(value: Any) -> str:
    """A value on one line, as it would be typed."""
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list):
        return "[" + ", ".join(_as_yaml(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_as_yaml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
