"""The pictures of a folder and their captions, as the ecosystem lays them out.

A caption stands beside its picture, in `a.txt` or `a.caption` for `a.png`, or in a list:
`metadata.jsonl`, `captions.jsonl` or `metadata.csv`, in the picture's folder or one above it. A
list names its pictures from where it stands. Folders named as splits at the top are splits, as
the `imagefolder` of Hugging Face's datasets has them.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from i2i_dds.data.images import PICTURES_WANTED, pictures_and_folders
from i2i_dds.data.text import read_lines, read_text
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded, parse_object

LISTS = ("metadata.jsonl", "captions.jsonl", "metadata.csv")
"""In the order in which they are looked for; the first that is there counts."""

SIDECARS = (".txt", ".caption")
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""What a folder may be called -> the split that its pictures are."""

_DEEPEST = 32
"""Folders within folders."""


class CaptionedPicture(NamedTuple):
    """A picture's file, what it shows, and its split where its folder is one."""

    path: Path
    caption: str
    split: str | None


def captioned_pictures(
    folder: str | Path, argument: str = "path", caption: str | None = None
) -> list[CaptionedPicture]:
    """The pictures of a folder and of those in it, in order of name.

    Args:
        folder: Where they are. Hidden folders are not looked into.
        argument: What the caller calls it, for errors.
        caption: Of every picture that has none of its own; None refuses such.

    Raises:
        UserError: No folder, no picture in it, a picture without a caption, or a bad list.
    """
    folder = expanded(folder)
    if not folder.is_dir():
        raise UserError(
            f"{argument}: '{folder}' is no folder; give a folder of pictures with captions"
        )
    found = list(_walk(folder, folder, {}, argument))
    if not found:
        raise UserError(f"{argument}: '{folder}' holds no picture; {PICTURES_WANTED}")
    without = [path for path, words in found if words is None]
    if without and caption is None:
        beside = " or ".join(f"'{without[0].stem}{suffix}'" for suffix in SIDECARS)
        raise UserError(
            f"caption: {len(without)} of the {len(found)} pictures of '{folder}' have none, the "
            f"first is '{without[0].relative_to(folder)}'; write {beside} beside it, list all in "
            f'{" or ".join(LISTS)}, or give one for all such, as caption="a photo of a cat"'
        )
    pictures = [
        CaptionedPicture(path, (caption or "") if words is None else words, _split(path, folder))
        for path, words in found
    ]
    return sorted(pictures, key=lambda picture: picture.path)


def _walk(
    folder: Path, root: Path, listed: Mapping[Path, str], argument: str
) -> Iterator[tuple[Path, str | None]]:
    """Pictures and captions of a folder and those in it; ``listed`` is what lists above say."""
    own = next((folder / name for name in LISTS if (folder / name).is_file()), None)
    if own is not None:
        listed = {**listed, **_read_list(folder, own, argument)}
    pictures, folders = pictures_and_folders(folder, argument)
    for path in pictures:
        yield path, listed[path] if path in listed else _beside(path, argument)
    for inner in folders if len(folder.relative_to(root).parts) < _DEEPEST else ():
        yield from _walk(inner, root, listed, argument)


def _beside(path: Path, argument: str) -> str | None:
    for suffix in SIDECARS:
        words = path.with_suffix(suffix)
        if words.is_file():
            return read_text(words, argument).strip()
    return None


def _split(path: Path, folder: Path) -> str | None:
    top, *rest = path.relative_to(folder).parts
    return SPLITS.get(top.lower()) if rest else None


def _read_list(folder: Path, listed: Path, argument: str) -> dict[Path, str]:
    """Paths and captions of a list.

    Raises:
        UserError: A line is wrong, or leads out of the folder.
    """
    found = {}
    lines = _csv_lines if listed.suffix == ".csv" else _json_lines
    for number, values in lines(listed, argument):
        name, words = values.get("file_name"), values.get("caption", values.get("text"))
        if not isinstance(name, str) or "\0" in name or not isinstance(words, str):
            raise UserError(
                f"{argument}: line {number} of '{listed}' is wrong; wanted is "
                + ("a.png,a cat under file_name,caption (or text)" if lines is _csv_lines else
                   '{"file_name": "a.png", "caption": "a cat"}')
            )  # fmt: skip
        path = Path(os.path.normpath(folder / name))
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{argument}: line {number} of '{listed}' leaves its folder: '{name}'")
        if not os.path.isfile(path):  # whatever its name may be
            raise UserError(f"{argument}: '{path}', line {number} of '{listed}', does not exist")
        found[path] = words.strip()
    return found


def _json_lines(listed: Path, argument: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(read_lines(listed, argument), 1):
        if not line.strip():
            continue
        try:
            yield number, parse_object(line)
        except ValueError:
            yield number, {}


def _csv_lines(listed: Path, argument: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_text(listed, argument), newline=""), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(
            f"{argument}: line {reader.line_num} of '{listed}' is no CSV ({error}); save it as "
            "comma-separated values in UTF-8"
        ) from error
