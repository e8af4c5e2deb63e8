"""Prompts as PIE-Bench writes them: [ ] round the words in which a pair of them differs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

_BRACKETS = str.maketrans("", "", "[]")


def without_brackets(prompt: str) -> str:
    """The prompt that a model is told: the brackets go, every other character stays."""
    return prompt.translate(_BRACKETS)


def with_brackets(source: str, target: str) -> tuple[str, str]:
    """Both prompts with [ ] round each run of words that the other one has not.

    Where one has words and the other none, only the first is marked. Marks of punctuation count
    as words of their own.
    """
    words = [list(re.finditer(r"\w+|[^\w\s]", prompt)) for prompt in (source, target)]
    spelled = [[word[0] for word in each] for each in words]
    changes = [
        change
        for change in difflib.SequenceMatcher(None, *spelled, autojunk=False).get_opcodes()
        if change[0] != "equal"
    ]
    return (
        _marked(source, words[0], [(start, end) for _, start, end, _, _ in changes]),
        _marked(target, words[1], [(start, end) for _, _, _, start, end in changes]),
    )


def _marked(prompt: str, words: Sequence[re.Match[str]], spans: Sequence[tuple[int, int]]) -> str:
    for start, end in reversed(spans):  # from the end, so that places before it stay
        if start < end:
            first, last = words[start].start(), words[end - 1].end()
            prompt = f"{prompt[:first]}[{prompt[first:last]}]{prompt[last:]}"
    return prompt
