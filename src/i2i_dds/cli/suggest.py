"""What somebody may have meant who mistyped a name."""

import difflib
from collections.abc import Iterable


def did_you_mean(typed: object, known: Iterable[str]) -> str:
    """Names the known word that is nearest to the typed one.

    Args:
        typed: What was typed; anything but a string is like no word.
        known: The words that are allowed.

    Returns:
        " (did you mean 'cat2lion'?)", or nothing where no word is near.
    """
    lowered = {word.lower(): word for word in known}
    word = typed.lower() if isinstance(typed, str) else ""
    close = difflib.get_close_matches(word, lowered, n=1)
    return meant(lowered[near] for near in close)


def meant(names: Iterable[str]) -> str:
    """The question that asks whether one of ``names`` was meant, or nothing if there is none."""
    words = " or ".join(repr(name) for name in names)
    return f" (did you mean {words}?)" if words else ""
