"""``python scripts/drag_bench.py``: a benchmark of drags, item by item, on one process or many."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from i2i_dds.cli.app import entry_point, run_dir
from i2i_dds.cli.checks import check, choice, integer, optional, several, text
from i2i_dds.cli.drag import SETTINGS
from i2i_dds.cli.progress import progress, say
from i2i_dds.cli.resume import check_same, settings, threads
from i2i_dds.errors import UserError

if TYPE_CHECKING:
    from i2i_dds.data.dragbench import DragItem, TruthItem
    from i2i_dds.evaluation.drags import DragMeter

BENCHMARKS = ("critters", "dragbench_s", "dragbench_d")
"""What ``data=`` takes; in the config it is ``benchmark``, for ``conf/data`` is of training."""

_log = logging.getLogger(__name__)

CRITTERS = 64
"""Items where n is not given."""

_RULES = {
    **SETTINGS,
    "root": text(),
    "n": optional(integer(min=1)),
    "split": choice("train", "val", "test"),
    "kinds": several(choice("head", "accessory", "ear")),
    "threads": optional(integer(min=1)),
    "features.teacher": optional(text()),
    "features.t": integer(min=0),
    "features.block": integer(min=0),
    "features.ensemble": integer(min=1),
    "features.regiondrag_side": optional(integer(min=64)),
}

_FREE = ("n", "paths", "out", "name", "lora_dir", "root")
"""Settings that may differ when a benchmark goes on."""


@dataclass(frozen=True)
class _Entry:
    """An item of the benchmark, read when its turn comes."""

    name: str
    read: Callable[[], tuple[DragItem, TruthItem | None]]


@entry_point("drag_bench", typed={"data": "benchmark"})
def main(cfg: DictConfig) -> Path:
    """Drags this process's share of what is left; the first process writes the summary."""
    from hydra.utils import instantiate

    from i2i_dds.cli.drag_run import first_timestep
    from i2i_dds.training.processes import gather, on_first, process_group

    check(cfg, _RULES)
    if cfg.benchmark not in BENCHMARKS:
        wanted = ", ".join(BENCHMARKS)
        raise UserError(f"data: {cfg.benchmark!r} is not allowed; give one of {wanted}")
    with threads(cfg.threads), process_group() as (rank, world):
        bench = _Bench(cfg, run_dir(), *map(instantiate, (cfg.drag, cfg.lora, cfg.teacher)))
        entries, meter = _entries(cfg, bench.teacher), _meter(cfg, bench.teacher, rank)
        first_timestep(bench.drag, bench.teacher)  # before anything is kept
        on_first(lambda: check_same(bench.folder, settings(cfg, _FREE)))
        left = [entry for entry in entries if not bench.finished(entry.name)]
        if rank == 0 and len(left) < len(entries):
            say(f"{len(entries) - len(left)} of {len(entries)} items are finished already")
        gather(None)  # else one that is late finds items finished that another has just done
        mine = left[rank::world]
        with progress(f"Dragging {len(mine)}") as update:
            for done, entry in enumerate(mine, 1):
                bench.do(entry, meter)
                if rank == 0:
                    update(done, len(mine))
        gather(None)
        if rank == 0:
            _summary(bench.folder, [entry.name for entry in entries])
    return bench.folder


def _entries(cfg: DictConfig, teacher: Any) -> list[_Entry]:
    from i2i_dds.cli.sizes import scene_size
    from i2i_dds.data.dragbench import critter_items, list_items, load_item

    if cfg.benchmark == "critters":
        size, n = scene_size(cfg.size, teacher), CRITTERS if cfg.n is None else cfg.n
        kinds: list[Any] = [cfg.kinds] if isinstance(cfg.kinds, str) else list(cfg.kinds)
        items = critter_items(cfg.split, n, cfg.seed, kinds, size)
        return [_Entry(truth.item.name, lambda t=truth: (t.item, t)) for truth in items]
    found = list_items(cfg.root)
    return [
        _Entry(name, lambda path=path, name=name: (load_item(path, name), None))
        for name, path in list(found.items())[: cfg.n]
    ]


def _meter(cfg: DictConfig, teacher: Any, rank: int) -> DragMeter:
    """With image fidelity where it can be had: its weights come over the network."""
    import torch

    from i2i_dds.evaluation.drags import DragMeter
    from i2i_dds.metrics.drag import image_fidelity

    fidelity, blank = image_fidelity, torch.zeros(1, 3, 64, 64)
    try:
        fidelity(blank, blank)
    except (UserError, OSError) as error:
        fidelity = None
        if rank == 0:
            say(f"{error} (its column stays empty)")
    features = {key: value for key, value in cfg.features.items() if key != "teacher"}
    if cfg.features.teacher is not None:
        from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

        settled = teacher.device, teacher.dtype
        teacher = StableDiffusionTeacher.load(cfg.features.teacher, *settled)
    return DragMeter(teacher, cfg.seed, **features, fidelity=fidelity)


@dataclass(frozen=True)
class _Bench:
    """What every item is dragged with, and where its files go."""

    cfg: DictConfig
    folder: Path
    drag: Any
    lora: Any
    teacher: Any

    def finished(self, name: str) -> bool:
        """Whether an item has its pictures and a row; one that failed is tried again."""
        from i2i_dds.evaluation.drag_sheet import PICTURE

        path = self.folder / "items" / f"{name}.json"
        pictures = self.folder / "pictures" / name / PICTURE
        if not path.is_file() or not pictures.is_file():
            return False
        try:
            return not json.loads(path.read_text(encoding="utf-8"))["row"]["error"]
        except (ValueError, KeyError):  # half of a file, of a disk that was full
            return False

    def do(self, entry: _Entry, meter: DragMeter) -> None:
        """One item from its files to its row; what cannot be done is a row too."""
        from i2i_dds.evaluation.drags import DragRow
        from i2i_dds.runs import write_json

        try:
            kept = self._done(entry, meter)
        except Exception as error:  # whatever one item has, the others shall be dragged
            sentence = " ".join(str(error).split()) or type(error).__name__
            if not isinstance(error, UserError):
                _log.warning("%s", entry.name, exc_info=error)
            say(f"{entry.name}: {sentence}")
            kept = {
                "row": DragRow(entry.name, error=sentence).values(),
                "seconds": 0.0,
                "lora": 0.0,
            }
        write_json(self.folder / "items" / f"{entry.name}.json", kept)

    def _done(self, entry: _Entry, meter: DragMeter) -> dict[str, Any]:
        from i2i_dds.cli.drag_run import dragged_item, lora_of, request_of, write_pictures
        from i2i_dds.editing.drag_items import cells_of

        item, truth = entry.read()
        request = request_of(item, self.teacher, self.cfg.size, self.cfg.fit)
        cells_of(request, self.teacher.downscale)  # before a LoRA is trained for nothing
        lora = lora_of(self.teacher, request, self.cfg, self.lora)
        dragged = dragged_item(self.drag, self.teacher, request, self.cfg, lora)
        row = meter(item, request, dragged, truth)
        write_pictures(self.folder / "pictures" / entry.name, item, request, dragged, truth)
        trained = 0.0 if lora is None else lora.seconds
        return {"row": row.values(), "seconds": dragged.seconds, "lora": trained}


def _summary(folder: Path, names: list[str]) -> None:
    """Tables and pictures of all rows, whoever made them.

    Raises:
        UserError: There is none without an error.
    """
    from i2i_dds.evaluation.drag_sheet import contact_sheet, histogram
    from i2i_dds.evaluation.drag_summary import drag_metrics, summary_table
    from i2i_dds.evaluation.drags import DragRow
    from i2i_dds.evaluation.summary import write_csv
    from i2i_dds.runs import replacing, write_image, write_json, write_text

    files = {name: folder / "items" / f"{name}.json" for name in names}
    kept = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items()}
    rows = [DragRow.read(values["row"]) for values in kept.values()]
    write_csv(folder / "rows.csv", list(rows[0].values()), (row.values() for row in rows))
    # Apart, so that rows.csv is the same however many processes made it.
    times = {key: {name: kept[name][key] for name in names} for key in ("seconds", "lora")}
    lines = ({"name": name, **{key: times[key][name] for key in times}} for name in names)
    write_csv(folder / "seconds.csv", ["name", *times], lines)
    metrics = drag_metrics(rows, times["seconds"], times["lora"])
    write_json(folder / "metrics.json", metrics)
    write_text(folder / "table.md", summary_table(metrics))
    sheet = contact_sheet(rows, folder / "pictures")
    if sheet is None:
        raise UserError(f"data: none of {len(rows)} items could be dragged, for {rows[0].error}")
    write_image(folder / "contact_sheet.png", sheet)
    with replacing(folder / "histogram.png") as partial:
        histogram(rows, partial)
    _report(metrics)


def _report(metrics: dict[str, Any]) -> None:
    """The numbers, for a person, on standard error."""
    from rich.console import Console

    console = Console(stderr=True)
    for name, value in metrics.items():
        if name != "kinds":
            console.print(f"{name:26}", "-" if value is None else f"{value:.4g}")


if __name__ == "__main__":
    main()
