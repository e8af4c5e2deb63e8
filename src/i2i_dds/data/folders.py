"""A folder of pictures and captions, read as it lies: no shards are made of it.

:func:`open_samples` opens whatever a folder holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from i2i_dds.data.captions import captioned_pictures
from i2i_dds.data.images import fit, load_image
from i2i_dds.data.shards import BrokenSample, Sample, Shards
from i2i_dds.data.sources import picture_key
from i2i_dds.data.tables import TablePictures, table_files
from i2i_dds.data.tars import Oddities, Record
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded


@dataclass
class PictureFolder:
    """Pictures with their captions, opened: samples with random access, as :class:`Shards`.

    Each picture is decoded whenever it is read. Large sets are read faster from shards, which hold
    them at the size of training.

    Raises:
        UserError: See :func:`captioned_pictures`.

    Attributes:
        folder: Where they are.
        argument: What the caller calls it, for errors.
        caption: Of every picture that has none of its own; None refuses such.
        records: One for each picture; the shard's number is that of its file.
        oddities: What is missing; nothing is, for a missing caption is refused.
    """

    folder: Path
    argument: str = "folder"
    caption: str | None = None
    records: list[Record] = field(default_factory=list, init=False)
    oddities: Oddities = field(default_factory=Oddities, init=False)

    def __post_init__(self) -> None:
        self.folder = expanded(self.folder)
        pictures = captioned_pictures(self.folder, self.argument, self.caption)
        self._paths = [picture.path for picture in pictures]
        for number, (path, caption, split) in enumerate(pictures):
            key = picture_key(path, self.folder)
            self.records.append(Record(key, number, caption=caption, name=key, split=split))

    def __len__(self) -> int:
        return len(self.records)

    def read(self, index: int) -> Sample:
        """Sample number ``index``, its picture decoded to RGB.

        Raises:
            BrokenSample: The picture cannot be decoded.
        """
        record, path = self.records[index], self._paths[index]
        try:
            image = load_image(path, self.argument)
        except UserError as error:
            raise BrokenSample(str(path)) from error
        return Sample(key=record.key, image=image, caption=record.caption, scene=None)


Samples = Shards | TablePictures | PictureFolder
"""What a training can read from."""


def open_samples(
    folder: str | Path, argument: str = "folder", caption: str | None = None
) -> Samples:
    """What is in a folder: shards, where it holds a ``.tar``, else tables, else pictures.

    Args:
        folder: Where it is.
        argument: What the caller calls it, for errors.
        caption: Of every picture that has none of its own; shards have theirs already.

    Raises:
        UserError: It holds none of them.
    """
    there = expanded(folder)
    if there.is_dir() and not any(there.glob("*.tar")) and any(there.iterdir()):
        kind = TablePictures if table_files(there) else PictureFolder
        return kind(there, argument, caption)
    return Shards(there, argument)


def folder_samples(
    folder: str | Path,
    size: int | None = None,
    argument: str = "path",
    unreadable: dict[str, str] | None = None,
    caption: str | None = None,
) -> Iterator[Sample]:
    """The pictures of a folder, see :func:`open_samples`, with their captions, in order of name.

    Args:
        folder: Where the pictures are.
        size: Scale and cut each to a square of this side; None keeps it as it is.
        argument: What the caller calls it, for errors.
        unreadable: Pictures that cannot be read are passed over and noted here, name -> why; None
            refuses the first.
        caption: Of every picture that has none of its own; None refuses such.

    Raises:
        UserError: No folder, a picture unreadable or without a caption, or a bad list.
    """
    samples = open_samples(folder, argument, caption)
    for index, record in enumerate(samples.records):
        try:
            sample = samples.read(index)
        except BrokenSample as error:
            reason = f"{argument}: '{error}' is no picture that can be read"
            if isinstance(error.__cause__, UserError):
                reason = str(error.__cause__)
            if unreadable is None:
                raise UserError(reason) from error
            unreadable[str(error)] = reason
            continue
        if size is not None:
            sample["image"] = fit(sample["image"], 1, size, "crop")
        yield sample if record.split is None else {**sample, "split": record.split}
