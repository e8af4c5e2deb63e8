"""Tasks: from what a picture is called to what it should become.

A `Task` is data. It rewrites a caption into a matched pair of prompts, so that the source prompt
always describes the picture at hand ("a cat wearing a hat at night" becomes "a lion wearing a hat
at night"), and it knows which scene attributes a source needs and which of them the edit changes,
which gives the exact counterfactual wherever the picture has a scene. One YAML file is one task.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Protocol, TypeVar

from i2i_dds.errors import UserError

# Sounds, not letters, decide between "a" and "an".
_AN = re.compile(r"(?!uni|use|usual|eu|ewe|one\b|once)[aeiou]|hour|honest|heir|honou?r", re.I)
_ARTICLE = r"(?:(?P<article>\b[Aa][Nn]?)(?P<gap>\s+))?"


class _Replaceable(Protocol):
    def replace(self, **changes: Any) -> Any: ...


_Scene = TypeVar("_Scene", bound=_Replaceable)


@dataclass(frozen=True)
class Prompts:
    """What the teacher and the student are told about one picture."""

    source: str
    target: str
    instruction: str


@dataclass(frozen=True)
class Task:
    """One edit.

    Attributes:
        name: the task's name, unique in a set.
        replace: whole words or phrases of the caption and what stands in their place. The longest
            match wins, the caption's capitals are kept, "a" and "an" are put right, and a pair of
            single words covers the plural too (cats -> lions).
        append: words added to the end of a caption in which no key of `replace` occurs.
        instruction: the edit as an order, for a student conditioned on text.
        source: scene attributes that a source picture must have: a value, or a list of values.
        target: scene attributes that the edit changes.
    """

    name: str
    replace: Mapping[str, str] = field(default_factory=dict)
    append: str | None = None
    instruction: str = ""
    source: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    target: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _table(self) -> dict[str, str]:
        table = {key.lower(): value for key, value in self.replace.items()}
        for key, value in list(table.items()):
            if value and " " not in key and " " not in value:
                table.setdefault(plural(key), plural(value))
        return table

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        if not self._table:
            return None
        longest_first = sorted(self._table, key=lambda key: (-len(key), key))
        words = "|".join(re.escape(key).replace(r"\ ", r"\s+") for key in longest_first)
        return re.compile(rf"{_ARTICLE}(?<![\w-])(?P<words>{words})(?![\w-])", re.I)

    def matches(self, caption: str) -> bool:
        """Whether this task can rewrite `caption`."""
        found = self._pattern is not None and self._pattern.search(caption) is not None
        return found or self.append is not None

    def prompts(self, caption: str) -> Prompts:
        """The source prompt, target prompt and instruction for a picture so described.

        Raises:
            UserError: the caption holds nothing to replace and the task appends nothing.
        """
        target, count = caption, 0
        if self._pattern is not None:
            target, count = self._pattern.subn(self._rewrite, caption)
        if count == 0:
            if self.append is None:
                raise UserError(
                    f"task.tasks.{self.name}.replace: none of {sorted(self.replace)} occurs in "
                    f"the caption {caption!r}; add a word of it to replace, or set append"
                )
            target = caption.rstrip(" .") + _joined(self.append)
        return Prompts(caption, _tidy(target), self.instruction)

    def _rewrite(self, match: re.Match[str]) -> str:
        found = match["words"]
        words = _with_case_of(self._table[" ".join(found.lower().split())], found)
        if match["article"] is None:
            return words
        spoken = words or match.string[match.end() :].lstrip()
        return _article(match["article"], spoken) + match["gap"] + words

    def accepts(self, scene: Mapping[str, Any] | None, caption: str | None = None) -> bool:
        """Whether a picture can be a source of this edit.

        Args:
            scene: its attributes, or None for a picture that has no scene (a photograph), which is
                then judged by its caption alone.
            caption: its caption, when the words are to be checked too.
        """
        if scene is not None:
            for name, wanted in self.source.items():
                allowed = (wanted,) if isinstance(wanted, str) else tuple(wanted)
                if scene.get(name) not in allowed:
                    return False
        return caption is None or self.matches(caption)

    def truth(self, scene: _Scene) -> _Scene:
        """The exact counterfactual: the same scene with this task's target attributes."""
        return scene.replace(**self.target)

    @classmethod
    def from_mapping(cls, name: str, values: Any) -> Task:
        """A task from its part of a task file.

        Raises:
            UserError: an unknown key, or a value of the wrong kind.
        """
        where = f"task.tasks.{name}"
        known = [item.name for item in fields(cls) if item.name != "name"]
        if not isinstance(values, Mapping):
            raise UserError(f"{where}: {values!r} is no task; give a mapping with keys of {known}")
        for key in values:
            if key not in known:
                raise UserError(f"{where}.{key}: unknown key; the keys of a task are {known}")
        task = cls(
            name,
            replace=_words(f"{where}.replace", values.get("replace")),
            append=_text(f"{where}.append", values.get("append"), None),
            instruction=_text(f"{where}.instruction", values.get("instruction"), "") or "",
            source=_words(f"{where}.source", values.get("source"), lists=True),
            target=_words(f"{where}.target", values.get("target")),
        )
        if not task.replace and task.append is None:
            raise UserError(f"{where}.replace: empty; give words to replace, or set append")
        return task


class TaskSet:
    """The tasks one network learns, in a fixed order: their index is the network's input."""

    def __init__(self, tasks: Sequence[Task], name: str | None = None) -> None:
        """Hold `tasks`; `name` is the set's own, by default the tasks' names joined by "+".

        Raises:
            UserError: no task, or two of one name.
        """
        self.tasks = tuple(tasks)
        self.names = tuple(task.name for task in self.tasks)
        if not self.tasks:
            raise UserError("task.tasks: empty; give at least one task")
        if len(set(self.names)) != len(self.names):
            raise UserError(f"task.tasks: names occur twice in {list(self.names)}")
        self.name = name or "+".join(self.names)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __getitem__(self, index: int) -> Task:
        return self.tasks[index]

    def index(self, name: str) -> int:
        """The number by which the network knows the task called `name`."""
        if name not in self.names:
            raise UserError(f"task: {name!r} is not in this set; it holds {list(self.names)}")
        return self.names.index(name)

    def accepting(self, scene: Mapping[str, Any] | None, caption: str) -> list[int]:
        """Indices of the tasks of which a picture can be a source."""
        return [i for i, task in enumerate(self.tasks) if task.accepts(scene, caption)]

    @classmethod
    def from_mapping(cls, values: Any) -> TaskSet:
        """A set from a task file: `name`, and `tasks` as a mapping from names to tasks.

        Raises:
            UserError: naming the key that is unknown or of the wrong kind.
        """
        if not isinstance(values, Mapping):
            raise UserError(f"task: {values!r} is no task file; it has the keys name and tasks")
        for key in values:
            if key not in ("name", "tasks"):
                raise UserError(f"task.{key}: unknown key; a task file has the keys name and tasks")
        tasks = values.get("tasks")
        if not isinstance(tasks, Mapping):
            raise UserError(f"task.tasks: {tasks!r} is no mapping from names to tasks")
        name = _text("task.name", values.get("name"), None)
        return cls([Task.from_mapping(str(key), value) for key, value in tasks.items()], name)


def plural(noun: str) -> str:
    """The regular English plural of a noun ("fox" -> "foxes")."""
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return noun + "es"
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun[:-1] + "ves" if noun.endswith("lf") else noun + "s"


def _article(written: str, spoken: str) -> str:
    """The article for `spoken`, capitalised as `written` is."""
    article = "an" if _AN.match(spoken) else "a"
    return article.capitalize() if written[0].isupper() else article


def _with_case_of(words: str, found: str) -> str:
    if found.isupper():
        return words.upper()
    return words[:1].upper() + words[1:] if found[0].isupper() else words


def _joined(append: str) -> str:
    """`append` with the space that sets it off, unless it begins with its own punctuation."""
    return append if append[:1] in (",", ";", ".", " ") else " " + append


def _tidy(text: str) -> str:
    """One space between words, none before a mark, and no comma where nothing is left to part."""
    text = re.sub(r"\s+([,.;])", r"\1", " ".join(text.split()))
    return re.sub(r",+(?=[,.;])", "", text).strip(" ,;")


def _text(key: str, value: Any, default: str | None) -> str | None:
    if value is None:
        return default
    if not isinstance(value, str):
        raise UserError(f"{key}: {value!r} is no text; give words in quotes")
    return value


def _words(key: str, value: Any, lists: bool = False) -> dict[str, Any]:
    """A mapping from words to words (or, where `lists`, to lists of them)."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UserError(f"{key}: {value!r} is no mapping from words to words")
    for name, item in value.items():
        many = lists and isinstance(item, Sequence) and not isinstance(item, str)
        good = all(isinstance(one, str) for one in item) if many else isinstance(item, str)
        if not isinstance(name, str) or not name.strip() or not good or (many and not item):
            allowed = "a word or a list of words" if lists else "words in quotes"
            raise UserError(f"{key}.{name}: {item!r} is not allowed; give {allowed}")
    return {
        name.strip(): item if isinstance(item, str) else tuple(item) for name, item in value.items()
    }
