"""What loggers wrote, read back from their files."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(content: bytes) -> Iterator[bytes]:
    """What a log in LevelDB's format holds, behind W&B's own seven bytes.

    It comes in blocks. A record lies in one piece or several, each behind a checksum, its length
    and which piece it is; a rest too short for these is left empty.
    """
    assert content.startswith(b":W&B")
    at, parts = HEADER, b""
    while at + HEADER <= len(content):
        rest = BLOCK - at % BLOCK
        if rest < HEADER:
            at += rest
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        assert kind in (FULL, FIRST, MIDDLE, LAST)
        parts += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (FULL, LAST):
            yield parts
            parts = b""


def _when_written(path: Path) -> bytes:
    """The file's content once W&B's own process, which ends after ours asked it to, wrote all."""
    size = -1
    for _ in range(40):
        if path.stat().st_size == size:
            break
        size = path.stat().st_size
        time.sleep(0.5)
    return path.read_bytes()


class WandbFile:
    """An offline run of W&B.

    Attributes:
        name: Of the run.
        group: Of runs that it belongs to.
        notes: As given.
        tags: As given.
        config: Its settings.
        history: A row for each call: key -> value.
    """

    def __init__(self, folder: Path) -> None:
        from wandb.proto.wandb_internal_pb2 import Record

        (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
        self.files = path.parent / "files"
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        for data in records(_when_written(path)):
            record = Record()
            record.ParseFromString(data)
            if record.HasField("run"):
                run = record.run
                self.name, self.group, self.notes = run.display_name, run.run_group, run.notes
                self.tags = list(run.tags)
            for changed in (record.run.config, record.config):
                self.config |= {one.key: json.loads(one.value_json) for one in changed.update}
            if record.HasField("history"):
                self.history.append(_nested(record.history.item))

    def rows(self, key: str) -> list[dict[str, Any]]:
        return [row for row in self.history if key in row]


def _nested(items: Any) -> dict[str, Any]:
    """A row; what has several keys, such as pictures, is a dict of them."""
    row: dict[str, Any] = {}
    for item in items:
        first, *rest = item.nested_key or [item.key]
        if rest:
            row.setdefault(first, {})["/".join(rest)] = json.loads(item.value_json)
        else:
            row[first] = json.loads(item.value_json)
    return row


def tensorboard(folder: Path) -> EventAccumulator:
    """All that a folder's event files hold."""
    everything = {"images": 0, "histograms": 0, "scalars": 0, "tensors": 0}
    events = EventAccumulator(str(folder), size_guidance=everything)
    return events.Reload()
