"""Which pictures are held out: decided by each one's name, so that no other ever moves it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Literal

from i2i_dds.data.tars import Record
from i2i_dds.errors import UserError

HeldOut = str | float
"""How pictures to be measured on are found.

"critters" draws scenes with their ground truths. "none" holds nothing out. "folder" takes what lies
in folders named as splits. A number in (0, 1) holds this share back, half of it for validation and
half for the test. "auto" is "folder" where there are such folders, else 0.25.
"""

HELD_OUT = ("critters", "none", "folder", "auto")
DEFAULT_FRACTION = 0.25
Numbers = dict[str, list[int]]
"""Split -> numbers of its samples."""

_EIGHTH = 8


def check_held_out(value: HeldOut) -> None:
    """Refuses what is no :data:`HeldOut`.

    Raises:
        UserError: It is none.
    """
    if isinstance(value, str) and value in HELD_OUT:
        return
    if isinstance(value, float) and 0 < value < 1:
        return
    raise UserError(
        f"held_out: {value!r} is unknown; it is one of {HELD_OUT} or a fraction between 0 and 1"
    )


def split_numbers(
    records: Sequence[Record],
    numbers: Sequence[int],
    held_out: HeldOut,
    n_val: int,
    n_test: int,
    where: str = "folder: the pictures",
) -> Numbers:
    """Splits samples for good: {"train": ..., "val": ..., "test": ...}.

    A sample's own name or folder decides. So neither tasks, nor counts, nor what comes later ever
    moves one.

    Args:
        records: All samples.
        numbers: Those to split, such as those that some task accepts.
        held_out: Not "critters", which holds out none of them.
        n_val: How many to use for validation, at most; others that are held out are left alone.
        n_test: The same for the test.
        where: What an error begins with.

    Raises:
        UserError: Nothing is left to train on, or "folder" finds no folder of a split.
    """
    named = any(records[number].split in ("val", "test") for number in numbers)
    if held_out == "auto":
        held_out = "folder" if named else DEFAULT_FRACTION
    if held_out == "folder" and not named:
        raise UserError(
            "held_out: 'folder' takes what lies in folders named validation and test, and there "
            "is none; give none, or a fraction such as 0.25"
        )
    choose = _chooser(held_out)
    split: Numbers = {"train": [], "val": [], "test": []}
    for number in sorted(numbers, key=lambda number: stable_hash(records[number].key)):
        split[choose(records[number])].append(number)
    if not split["train"]:
        raise UserError(
            f"{where} that the task accepts are all held out by held_out={held_out}; "
            "give held_out=none, or more pictures"
        )
    limits = {"train": None, "val": n_val, "test": n_test}
    return {part: sorted(found[: limits[part]]) for part, found in split.items()}


def stable_hash(text: str) -> int:
    """64 bits, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _chooser(held_out: HeldOut) -> Callable[[Record], Literal["train", "val", "test"]]:
    """From a record to its split."""
    if held_out == "folder":
        return lambda record: record.split or "train"  # type: ignore[return-value]
    fraction = 0.0 if held_out == "none" else float(held_out)

    def by_hash(record: Record) -> Literal["train", "val", "test"]:
        place = _place(record.name)
        if place >= fraction:
            return "train"
        return "test" if place < fraction / 2 else "val"

    return by_hash


def _place(name: str) -> float:
    """Where in [0, 1) a name falls. The last bits lead, as they have since the first release."""
    rest, eighth = divmod(stable_hash(name), _EIGHTH)
    return (eighth + rest / 2**61) / _EIGHTH
