"""Shards: pictures with captions in plain tar files, as webdataset lays them out.

A sample is `{key}.png` and `{key}.json` ({"caption": ..., "scene": ...}), side by side in a tar.
Opening a folder reads the tar headers once; after that any sample is one seek away, so order,
division among processes and resuming are questions about integers (see `epochs`), not about
streams. Only pictures, json and text are ever read, each by its own decoder: webdataset's own
`decode("pil")` would execute pickles found in a shard. Nothing is extracted to disk.
"""

from __future__ import annotations

import io
import json
import logging
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict

from PIL import Image

from i2i_dds.data.decoding import BrokenPicture, decode
from i2i_dds.data.tars import Oddities, Record, scan
from i2i_dds.errors import UserError
from i2i_dds.reading import LARGEST_FILE, expanded, read_object
from i2i_dds.runs import run_folder, write_json

MANIFEST = "manifest.json"
_KEY = re.compile(r"[\w-]+")
_LONGEST_NAME = 255

log = logging.getLogger(__name__)


class _Sample(TypedDict):
    key: str
    image: Image.Image
    caption: str
    scene: dict[str, Any] | None


class Sample(_Sample, total=False):
    """One picture with its words; `scene` is None for pictures that are not Critters.

    `split` is there where its folder was that of a split: "train", "val" or "test".
    """

    split: str


class BrokenSample(ValueError):
    """A sample whose picture cannot be decoded; says which."""


def write_shards(
    samples: Iterable[Sample],
    folder: str | Path,
    samples_per_shard: int = 1024,
    settings: Mapping[str, Any] | None = None,
    argument: str = "out",
    unreadable: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Writes samples to `folder`, whole or not at all, and returns the manifest.

    Args:
        samples: keys are unique and of letters, digits, "_" and "-".
        folder: new or empty; it is written beside its place, then renamed.
        samples_per_shard: the last shard may hold fewer.
        settings: what the samples were made from, kept in the manifest.
        argument: what the caller calls it, for errors.
        unreadable: files that the samples pass over as they are read, and why.

    Raises:
        UserError: the folder exists, there is no sample, or `samples_per_shard` < 1.
    """
    folder = Path(folder)
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise UserError(
            f"{argument}: '{folder}' holds files already; give a new folder or remove it"
        )
    if samples_per_shard < 1:
        raise UserError(f"samples_per_shard: {samples_per_shard} is not allowed; give 1 or more")
    shards: list[dict[str, Any]] = []
    seen: set[str] = set()
    stream = iter(samples)
    with run_folder(folder) as aside:
        while chunk := list(islice(stream, samples_per_shard)):
            path = Path(aside) / f"shard-{len(shards):05d}.tar"
            _write_tar(path, chunk, seen)
            size = path.stat().st_size
            shards.append({"name": path.name, "samples": len(chunk), "bytes": size})
        if not shards and unreadable:
            first, *others = unreadable.values()
            more = f" (and none of {len(others)} others can)" if others else ""
            raise UserError(first + more)
        if not shards:
            raise UserError(f"{argument}: there is no sample to write to '{folder}'")
        manifest = {"samples": len(seen), "shards": shards, "settings": dict(settings or {})}
        manifest["unreadable"] = [
            {"file": file, "reason": reason} for file, reason in (unreadable or {}).items()
        ]
        write_json(Path(aside) / MANIFEST, manifest)
    return manifest


@dataclass
class Shards:
    """A folder of shards, opened: a sequence of samples with random access.

    Works on folders by `write_shards` and on any webdataset tars of pictures with `.json`
    ({"caption" or "text": ...}) or `.txt` captions. Picklable, and holds no open file.

    Raises:
        UserError: no folder, no shard in it, a shard that is cut short or no tar at all.

    Attributes:
        records: one for each picture.
        oddities: what is missing or passed over.
    """

    folder: Path
    argument: str = "folder"
    records: list[Record] = field(default_factory=list, init=False)
    oddities: Oddities = field(default_factory=Oddities, init=False)

    def __post_init__(self) -> None:
        self.folder = expanded(self.folder)
        if not self.folder.is_dir():
            raise UserError(
                f"{self.argument}: '{self.folder}' is no folder; give one of pictures "
                "with captions, or of shards, which i2i make-shards writes"
            )
        self.paths = sorted(path for path in self.folder.glob("*.tar") if path.is_file())
        if not self.paths:
            raise UserError(
                f"{self.argument}: '{self.folder}' holds no .tar file; give a shard folder"
            )
        self._check_manifest()
        for number, path in enumerate(self.paths):
            try:
                self.records.extend(scan(path, number, self.oddities))
            except RecursionError as error:  # of headers that only lead to the next header
                raise self._broken(path, "its headers are nested too deeply") from error
            except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
                raise self._broken(path, str(error)) from error
        if not self.records:
            raise UserError(f"{self.argument}: the shards of '{self.folder}' hold no picture")
        self._check_keys()
        self.oddities.without_caption += [r.key for r in self.records if not r.caption.strip()]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Sample]:
        return (self.read(index) for index in range(len(self)))

    def read(self, index: int) -> Sample:
        """Sample number `index`, its picture decoded to RGB.

        Raises:
            BrokenSample: the picture cannot be decoded.
        """
        record = self.records[index]
        name = f"{self.paths[record.shard].name}:{record.key}"
        if record.size > LARGEST_FILE:
            raise BrokenSample(name)
        try:
            with open(self.paths[record.shard], "rb") as file:
                file.seek(record.offset)
                image = decode(file.read(record.size), called=f"'{name}'")
        except (OSError, BrokenPicture) as error:
            raise BrokenSample(name) from error
        return Sample(key=record.key, image=image, caption=record.caption, scene=record.scene)

    def _check_keys(self) -> None:
        """Tells samples of tars that each number anew apart: a key names one for good."""
        counts = Counter(record.key for record in self.records)
        shared = [key for key, count in counts.items() if count > 1]
        if shared:
            log.info("keys that several shards have are named with their shard: %d", len(shared))
            for record in self.records:
                record.key = f"{self.paths[record.shard].stem}/{record.key}"

    def _check_manifest(self) -> None:
        path = self.folder / MANIFEST
        if not path.is_file():
            return
        try:
            listed = read_object(path, self.argument, "a folder of whole shards")["shards"]
            sizes = {str(shard["name"]): int(shard["bytes"]) for shard in listed}
            if not sizes or any(not _may_name_a_file(name) for name in sizes):
                raise ValueError("it names no shard, or one of another folder")
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UserError(
                f"{self.argument}: '{path}' is no shard manifest ({error}); make it again"
            ) from error
        for name, size in sizes.items():
            shard = self.folder / name
            found = shard.stat().st_size if shard.is_file() else 0
            if found != size:
                raise self._broken(shard, f"{found} bytes of {size}")
        self.paths = [self.folder / name for name in sizes]

    def _broken(self, path: Path, reason: str) -> UserError:
        return UserError(
            f"{self.argument}: the shard '{path}' is missing, cut short or damaged ({reason}); "
            "make the shards again, or take it out of the folder and its manifest"
        )


def _may_name_a_file(name: str) -> bool:
    """Whether a file of this very folder may be called so."""
    return Path(name).name == name and "\0" not in name and len(name.encode()) <= _LONGEST_NAME


def _write_tar(path: Path, samples: Iterable[Sample], seen: set[str]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            key = sample["key"]
            if not _KEY.fullmatch(key) or key in seen:
                raise ValueError(f"key {key!r} is not unique, or not of letters, digits, _ and -")
            seen.add(key)
            picture = io.BytesIO()
            sample["image"].convert("RGB").save(picture, "PNG")
            words = {"caption": sample["caption"], "scene": sample["scene"]}
            words |= {"split": sample["split"]} if "split" in sample else {}
            _add(tar, f"{key}.png", picture.getvalue())
            _add(tar, f"{key}.json", json.dumps(words, ensure_ascii=False).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, no user: equal samples make equal files
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
