"""Pictures and captions in tables: parquet files, or what `datasets` saves to disk.

Both come from Hugging Face's datasets, where a picture is the bytes of its file and the name it
had. A table is read a part at a time, the row group of a parquet or the batch of an arrow file, so
large sets are read faster from shards.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from i2i_dds.data.captions import SPLITS
from i2i_dds.data.decoding import BrokenPicture, decode
from i2i_dds.data.shards import BrokenSample, Sample
from i2i_dds.data.tars import Oddities, Record
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded

SUFFIXES = (".parquet", ".arrow")
"""The first that a folder holds is what is read."""

PICTURES = ("image", "img", "picture", "jpg", "png", "webp")
CAPTIONS = ("caption", "text", "prompt", "description")
"""Columns in the order in which they are looked for."""

_OF_A_FOLDER = "metadata.parquet"
"""Lists the pictures of its folder and holds none."""

_KEPT = 4
"""Parts of tables that are kept for the next read."""


class _Row(NamedTuple):
    """Where a picture lies."""

    path: Path
    column: str
    part: int
    row: int


@dataclass
class TablePictures:
    """Pictures of tables with their captions, opened: samples with random access, as `Shards`.

    A picture's key comes from its name in the table, or from its bytes where names are missing or
    repeat. So a row that is added moves no other.

    Attributes:
        folder: Where the tables are, in it or in folders within.
        argument: What the caller calls it, for errors.
        caption: Of every picture that has none of its own; None refuses such.
        records: One for each picture.
        oddities: What is missing; nothing is, for a missing caption is refused.

    Raises:
        UserError: The extra is missing, a file is no table, a column is missing, or a caption is.
    """

    folder: Path
    argument: str = "folder"
    caption: str | None = None
    records: list[Record] = field(default_factory=list, init=False)
    oddities: Oddities = field(default_factory=Oddities, init=False)

    def __post_init__(self) -> None:
        self.folder = expanded(self.folder)
        if find_spec("pyarrow") is None:
            raise UserError(
                f"{self.argument}: the tables of '{self.folder}' are read by pyarrow, which is not "
                "installed; pip install 'i2i-dds[parquet]'"
            )
        self._rows: list[_Row] = []
        self._kept: dict[tuple[Path, str, int], Any] = {}
        names, words, splits = self._scan()
        without = [i for i, caption in enumerate(words) if caption is None]
        if without and self.caption is None:
            raise UserError(
                f"caption: {len(without)} of the {len(words)} rows of '{self.folder}' have none, "
                f"the first is {self._called(without[0])}; give one for all such, as "
                'caption="a photo of a cat"'
            )
        if len(set(names)) < len(names) or not all(names):
            names = _told_apart(_digest(self._bytes(i) or b"") for i in range(len(self._rows)))
        for i, (name, caption, split) in enumerate(zip(names, words, splits, strict=True)):
            caption = self.caption if caption is None else caption
            key = _key(name)
            self.records.append(Record(key, i, caption=caption or "", name=key, split=split))

    def __len__(self) -> int:
        return len(self.records)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}

    def read(self, index: int) -> Sample:
        """Sample number ``index``, its picture decoded to RGB.

        Raises:
            BrokenSample: The row has no picture, or one that cannot be decoded.
        """
        record, called = self.records[index], self._called(index)
        try:
            image = decode(self._bytes(index) or b"", called=f"'{called}'")
        except BrokenPicture as error:
            raise BrokenSample(called) from error
        return Sample(key=record.key, image=image, caption=record.caption, scene=None)

    def _scan(self) -> tuple[list[str], list[str | None], list[str | None]]:
        """Names, captions and splits of all rows; notes where each lies."""
        names: list[str] = []
        words: list[str | None] = []
        splits: list[str | None] = []
        for path in table_files(self.folder):
            split = _split(path.relative_to(self.folder))
            try:
                picture, caption = self._columns(path, _schema(path))
                for part, table in enumerate(_parts(path, picture, caption)):
                    names += _names(table, picture)
                    words += _words(table, caption)
                    splits += [split] * table.num_rows
                    self._rows += [_Row(path, picture, part, n) for n in range(table.num_rows)]
            except (OSError, ValueError) as error:  # those of pyarrow are both
                raise UserError(
                    f"{self.argument}: '{path}' cannot be read ({' '.join(str(error).split())})"
                ) from error
        if not self._rows:
            raise UserError(f"{self.argument}: the tables of '{self.folder}' have no rows")
        return names, words, splits

    def _columns(self, path: Path, schema: Any) -> tuple[str, str | None]:
        """The columns of pictures and captions."""
        import pyarrow as pa

        def is_picture(kind: Any) -> bool:
            kind = kind.field("bytes").type if _has_bytes(kind) else kind
            return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

        pictures = [field.name for field in schema if is_picture(field.type)]
        if not pictures:
            raise UserError(
                f"{self.argument}: '{path}' has no column of pictures; wanted is {PICTURES[0]}, "
                f"of bytes or of {{bytes, path}}, and it has {', '.join(schema.names)}"
            )
        named = next((name for name in PICTURES if name in pictures), pictures[0])
        return named, next((name for name in CAPTIONS if name in schema.names), None)

    def _bytes(self, index: int) -> bytes | None:
        path, column, part, row = self._rows[index]
        wanted = (path, column, part)
        if wanted not in self._kept:
            self._kept = dict(list(self._kept.items())[1 - _KEPT :])
            self._kept[wanted] = _pictures(*wanted)
        value = self._kept[wanted][row].as_py()
        return value.get("bytes") if isinstance(value, dict) else value

    def _called(self, index: int) -> str:
        path, _, part, row = self._rows[index]
        return f"{path.relative_to(self.folder)}:{part}:{row}"


def table_files(folder: Path) -> list[Path]:
    """The tables in a folder and those in it, of the first of `SUFFIXES` of which there are any."""
    for suffix in SUFFIXES:
        found = (path for path in folder.rglob(f"*{suffix}") if path.is_file())
        if tables := sorted(path for path in found if path.name != _OF_A_FOLDER):
            return tables
    return []


def _schema(path: Path) -> Any:
    import pyarrow.parquet as pq

    return _batches(path)[0].schema if path.suffix == ".arrow" else pq.read_schema(path)


def _parts(path: Path, picture: str, caption: str | None) -> Iterator[Any]:
    """What is known of a file's pictures, a part at a time; of a parquet without their bytes."""
    import pyarrow.parquet as pq

    if path.suffix == ".arrow":
        yield from _batches(path)
        return
    columns = [f"{picture}.path", *([] if caption is None else [caption])]
    with pq.ParquetFile(path) as file:
        for part in range(file.num_row_groups):
            yield file.read_row_group(part, columns=columns)


def _pictures(path: Path, column: str, part: int) -> Any:
    """The pictures of a part."""
    import pyarrow.parquet as pq

    if path.suffix == ".arrow":
        return _batches(path)[part].column(column)
    with pq.ParquetFile(path) as file:
        return file.read_row_group(part, columns=[column]).column(column)


def _batches(path: Path) -> list[Any]:
    """An arrow file's batches, which stay on disk until they are looked at."""
    import pyarrow as pa

    mapped = pa.memory_map(str(path))
    try:
        return list(pa.ipc.open_stream(mapped))
    except pa.ArrowInvalid:
        mapped.seek(0)
        file = pa.ipc.open_file(mapped)
        return [file.get_batch(i) for i in range(file.num_record_batches)]


def _has_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _names(table: Any, picture: str) -> list[str]:
    """What the pictures were called, empty where that is not kept."""
    import pyarrow as pa

    if picture not in table.schema.names:  # bytes alone
        return [""] * table.num_rows
    column = table.column(picture)
    if not pa.types.is_struct(column.type) or column.type.get_field_index("path") < 0:
        return [""] * table.num_rows
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return [name or "" for chunk in chunks for name in chunk.field("path").to_pylist()]


def _words(table: Any, column: str | None) -> list[str | None]:
    if column is None:
        return [None] * table.num_rows
    first = [
        value[0] if isinstance(value, list) and value else value  # of several, the first
        for value in table.column(column).to_pylist()
    ]
    return [value.strip() if isinstance(value, str) else None for value in first]


def _split(path: Path) -> str | None:
    """Of a table `train/data-00000-of-00001.arrow` or `data/test-00000-of-00002.parquet`."""
    parts = [*path.parts[:-1], re.split(r"[-_.]", path.name, maxsplit=1)[0]]
    return next((SPLITS[part.lower()] for part in parts if part.lower() in SPLITS), None)


def _key(name: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", PurePosixPath(name).stem).strip("-")[:40]
    return f"{readable or 'picture'}-{_digest(name.encode())}"


def _told_apart(names: Iterable[str]) -> list[str]:
    """Equal pictures have equal names; the second and later ones get a number."""
    seen: Counter[str] = Counter()
    apart = []
    for name in names:
        apart.append(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return apart


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=6).hexdigest()
