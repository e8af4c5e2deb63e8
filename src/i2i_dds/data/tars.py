"""What a tar of pictures and words holds, found without reading a picture.

Only pictures, json and text are looked at, each by its own decoder; links, devices and all other
members are passed over, and nothing is extracted to disk.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from i2i_dds.data.images import SUFFIXES, shown_names
from i2i_dds.reading import parse_object

SPLITS = ("train", "val", "test")
_WORDS, _PICTURE = (".json", ".txt"), "picture"
_READ = {*SUFFIXES, *_WORDS}
_LONGEST_WORDS = 2**24
"""Bytes of one sample's words."""


@dataclass
class Record:
    """Where a sample lies, and all of it but the picture.

    Attributes:
        key: its own in the folder.
        name: its own in its shard, which no other shard changes.
        split: "train", "val" or "test" where whoever made the shards says which it is of.
    """

    key: str
    shard: int
    offset: int = 0
    size: int = 0
    caption: str = ""
    scene: dict[str, Any] | None = None
    name: str = ""
    split: str | None = None


@dataclass
class Oddities:
    """What shards have that a training would not show: names, in the order of the shards.

    Attributes:
        without_caption: pictures without words, whose caption is empty.
        without_picture: words without a picture, which are passed over.
        duplicates: members that a sample of their shard has already, which are passed over.
    """

    without_caption: list[str] = field(default_factory=list)
    without_picture: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many of each kind, as metrics.json has them."""
        return {
            "pictures_without_caption": len(self.without_caption),
            "captions_without_picture": len(self.without_picture),
            "duplicate_keys": len(self.duplicates),
        }

    def notes(self) -> list[str]:
        """A sentence for each kind that there is, with the names of the first."""
        told = {
            "pictures have no caption": self.without_caption,
            "captions have no picture and are passed over": self.without_picture,
            "files have the key of another and are passed over": self.duplicates,
        }
        return [f"{what}: {shown_names(names)}" for what, names in told.items() if names]


def scan(path: Path, number: int, oddities: Oddities) -> list[Record]:
    """The samples of a shard that have a picture, by its headers and words.

    Args:
        path: The tar.
        number: The shard's, for its records.
        oddities: Takes the names of what is passed over.

    Raises:
        tarfile.TarError, OSError, ValueError: It is cut short or no tar, or its words are none.
    """
    found: dict[str, Record] = {}
    taken: set[tuple[str, str]] = set()
    repeated: set[str] = set()
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            if member.size < 0:  # would lead back to what was read before, for ever
                raise tarfile.ReadError(f"{member.name} has a size below 0")
            stem, suffix = _split(member.name)
            if not member.isfile() or suffix not in _READ or stem in repeated:
                continue
            kind = suffix if suffix in _WORDS else _PICTURE
            if (stem, kind) in taken:
                oddities.duplicates.append(f"{path.name}:{member.name}")
                repeated |= {stem} if kind == _PICTURE else set()
                continue
            taken.add((stem, kind))
            record = found.setdefault(stem, Record(stem, number, name=stem))
            if kind == _PICTURE:
                record.offset, record.size = member.offset_data, member.size
            else:
                _read_words(record, suffix, member.size, tar.extractfile(member))
        _check_end(tar)
    pictures = [record for record in found.values() if (record.name, _PICTURE) in taken]
    alone = [f"{path.name}:{stem}" for stem in found if (stem, _PICTURE) not in taken]
    oddities.without_picture += alone
    return pictures


def _check_end(tar: tarfile.TarFile) -> None:
    """Python's tarfile takes a cut inside a header for the end; the real end is a zero block."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end of archive")


def _split(name: str) -> tuple[str, str]:
    """A member's key, its folder included, and its suffix in small letters."""
    folder, _, name = name.rpartition("/")
    stem, _, suffix = name.partition(".")
    return f"{folder}/{stem}" if folder else stem, f".{suffix.lower()}"


def _read_words(record: Record, suffix: str, size: int, file: Any) -> None:
    if size > _LONGEST_WORDS:
        raise ValueError(f"{record.name}{suffix} is larger than {_LONGEST_WORDS / 2**20:g} MiB")
    data = file.read()
    if suffix == ".txt":
        record.caption = data.decode("utf-8-sig").strip()
        return
    try:
        values = parse_object(data)
    except ValueError as error:
        raise ValueError(f"{record.name}.json: {error}") from error
    caption = values.get("caption", values.get("text"))
    if isinstance(caption, list) and caption:  # of several, as some sets have, the first
        caption = caption[0]
    if caption is not None and not isinstance(caption, str):
        raise ValueError(f"{record.name}.json has a caption that is no text")
    record.caption = record.caption if caption is None else caption
    scene = values.get("scene")
    record.scene = scene if isinstance(scene, dict) else None
    split = values.get("split")
    record.split = split if split in SPLITS else None
