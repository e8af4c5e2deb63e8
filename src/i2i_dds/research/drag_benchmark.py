"""A benchmark of drags, item by item: each from its files to its row, then tables and pictures."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from i2i_dds.critters.drags import Kind
from i2i_dds.data.dragbench import DragItem, TruthItem, critter_items, list_items, load_item
from i2i_dds.data.sources import Split
from i2i_dds.editing.drag import Drag
from i2i_dds.errors import UserError
from i2i_dds.evaluation.drag_picture import BEFORE_AFTER, write_drag_pictures
from i2i_dds.evaluation.drag_sheet import contact_sheet, histogram
from i2i_dds.evaluation.drag_summary import drag_metrics, summary_table
from i2i_dds.evaluation.drags import DragMeter, DragRow
from i2i_dds.evaluation.summary import write_csv
from i2i_dds.metrics.drag import image_fidelity
from i2i_dds.pipelines.drag import PictureLora, drag_picture, request_of
from i2i_dds.pipelines.pictures import Size
from i2i_dds.runs import replacing, write_image, write_json, write_text
from i2i_dds.teacher.lanes import queue_length, run_together

_log = logging.getLogger(__name__)

CRITTERS = 64
"""Items where their number is not given."""


@dataclass(frozen=True)
class BenchItem:
    """An item of the benchmark, read when its turn comes."""

    name: str
    read: Callable[[], tuple[DragItem, TruthItem | None]]


def critter_bench(
    split: Split, n: int | None, seed: int, kinds: Sequence[Kind], size: int
) -> list[BenchItem]:
    """Drags of Critters, whose ground truth is known."""
    items = critter_items(split, CRITTERS if n is None else n, seed, kinds, size)
    return [BenchItem(truth.item.name, lambda t=truth: (t.item, t)) for truth in items]


def published_bench(root: str | Path, n: int | None) -> list[BenchItem]:
    """The first n items of DragBench, in either of its layouts; None is all."""
    return [
        BenchItem(name, lambda path=path, name=name: (load_item(path, name), None))
        for name, path in list(list_items(root).items())[:n]
    ]


def drag_meter(
    teacher: Any, seed: int, features: Mapping[str, Any], notify: Callable[[str], None]
) -> DragMeter:
    """The measures of a drag, with image fidelity where its weights can be had.

    Args:
        teacher: In whose features distances are measured.
        seed: Of their noise.
        features: "t", "block", "ensemble" and "regiondrag_side" of :class:`DragMeter`.
        notify: Told why image fidelity is left out.
    """
    fidelity, blank = image_fidelity, torch.zeros(1, 3, 64, 64)
    try:
        fidelity(blank, blank)
    except (UserError, OSError) as error:  # its weights come over the network
        fidelity = None
        notify(f"{error} (its column stays empty)")
    return DragMeter(teacher, seed, **features, fidelity=fidelity)


@dataclass(frozen=True)
class DragBenchmark:
    """What every item is dragged with, and where its files go.

    Attributes:
        folder: Of all files.
        teacher: Who drags.
        drag: The sampler and its settings.
        lora: How the teacher learns each picture; None of not.
        seed: Of the noise.
        size: At which pictures are dragged; None is their own.
        fit: "error" or "resize", of pictures that the VAE does not allow.
        meter: Measures.
        notify: Told of items that could not be dragged.
        batch_size: Items that are dragged side by side, in the network's batches together; 1 of
            those that the teacher learns first.
    """

    folder: Path
    teacher: Any
    drag: Drag
    lora: PictureLora | None
    seed: int
    size: Size
    fit: str
    meter: DragMeter
    notify: Callable[[str], None]
    batch_size: int = 1

    def pieces(self, items: Sequence[BenchItem]) -> list[tuple[BenchItem, ...]]:
        """Items that are dragged side by side, the same however many processes there are."""
        length = 1 if self.batch_size == 1 else queue_length(len(items), self.batch_size)
        return [tuple(items[i : i + length]) for i in range(0, len(items), length)]

    def finished(self, piece: Sequence[BenchItem]) -> bool:
        """Whether each item of a piece is."""
        return all(map(self._finished, piece))

    def do(self, piece: Sequence[BenchItem]) -> None:
        """All items of a piece, ``batch_size`` at a time."""
        if self.batch_size == 1:
            for item in piece:
                self._do(item)
            return
        jobs = [lambda own, item=item: replace(self, teacher=own)._do(item) for item in piece]
        for _ in run_together(self.teacher, jobs, self.batch_size):
            pass

    def _finished(self, item: BenchItem) -> bool:
        """Whether an item has its pictures and a row; one that failed is tried again."""
        path = self.folder / "items" / f"{item.name}.json"
        if not path.is_file() or not (self._pictures(item.name) / BEFORE_AFTER).is_file():
            return False
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return not kept["row"]["error"] and kept["content"] == _content(item.read()[0])
        except (ValueError, KeyError, UserError):  # half of a file, of a disk that was full
            return False

    def _do(self, item: BenchItem) -> None:
        """One item from its files to its row; what cannot be done is a row too."""
        try:
            kept = self._drag(item)
        except Exception as error:  # whatever one item has, the others shall be dragged
            sentence = " ".join(str(error).split()) or type(error).__name__
            if not isinstance(error, UserError):
                _log.warning("%s", item.name, exc_info=error)
            self.notify(f"{item.name}: {sentence}")
            row = DragRow(item.name, error=sentence).values()
            kept = {"row": row, "seconds": 0.0, "lora": 0.0}
        write_json(self.folder / "items" / f"{item.name}.json", kept)

    def _drag(self, bench_item: BenchItem) -> dict[str, Any]:
        item, truth = bench_item.read()
        request = request_of(item, self.teacher, self.size, self.fit)
        dragged, lora = drag_picture(self.drag, self.teacher, request, self.seed, self.lora)
        row = self.meter(item, request, dragged, truth)
        write_drag_pictures(self._pictures(bench_item.name), item, request, dragged, truth)
        trained = 0.0 if lora is None else lora.seconds
        kept = {"row": row.values(), "seconds": dragged.seconds, "lora": trained}
        return kept | {"content": _content(item)}

    def _pictures(self, name: str) -> Path:
        return self.folder / "pictures" / name

    def summarize(self, names: Sequence[str]) -> dict[str, Any]:
        """Tables and pictures of all rows, whoever made them; returns what metrics.json has.

        Raises:
            UserError: There is none without an error.
        """
        files = {name: self.folder / "items" / f"{name}.json" for name in names}
        kept = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items()}
        rows = [DragRow.read(values["row"]) for values in kept.values()]
        lines = (row.values() for row in rows)
        write_csv(self.folder / "rows.csv", list(rows[0].values()), lines)
        # Apart, so that rows.csv is the same however many processes made it.
        times = {key: {name: kept[name][key] for name in names} for key in ("seconds", "lora")}
        lines = ({"name": name, **{key: times[key][name] for key in times}} for name in names)
        write_csv(self.folder / "seconds.csv", ["name", *times], lines)
        metrics = drag_metrics(rows, times["seconds"], times["lora"])
        write_json(self.folder / "metrics.json", metrics)
        write_text(self.folder / "table.md", summary_table(metrics))
        sheet = contact_sheet(rows, self.folder / "pictures")
        if sheet is None:
            raise UserError(
                f"data: none of {len(rows)} items could be dragged, for {rows[0].error}"
            )
        write_image(self.folder / "contact_sheet.png", sheet)
        with replacing(self.folder / "histogram.png") as partial:
            histogram(rows, partial)
        return metrics


def _content(item: DragItem) -> str:
    """Tells items of one name apart by what is in them, wherever they lie."""
    digest = blake2b(digest_size=16)
    for picture in (item.image, item.mask):
        if picture is not None:
            digest.update(f"{picture.mode}{picture.size}".encode() + picture.tobytes())
    digest.update(json.dumps([item.prompt, item.points]).encode())
    return digest.hexdigest()
