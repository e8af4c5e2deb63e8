"""``python scripts/drag_bench.py``: a benchmark of drags, item by item, on one process or many."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check, choice, integer, optional, several, text
from i2i_dds.cli.drag import SETTINGS
from i2i_dds.errors import UserError

if TYPE_CHECKING:
    from i2i_dds.data.dragbench import DragItem, TruthItem

CRITTERS = 64
"""Items where n is not given."""

_RULES = {
    **SETTINGS,
    "data": choice("critters", "dragbench_s", "dragbench_d"),
    "root": text(),
    "n": optional(integer(min=1)),
    "split": choice("train", "val", "test"),
    "kinds": several(choice("head", "accessory", "ear")),
    "features.t": integer(min=0),
    "features.block": integer(min=0),
    "features.ensemble": integer(min=1),
    "features.regiondrag_side": optional(integer(min=64)),
}

_FREE = ("n", "paths", "out", "lora_dir", "root")
"""Settings that may differ when a benchmark goes on."""


@dataclass(frozen=True)
class _Entry:
    """An item of the benchmark, read when its turn comes."""

    name: str
    read: Callable[[], tuple[DragItem, TruthItem | None]]


@entry_point("drag_bench")
def main(cfg: DictConfig) -> Path:
    """Drags this process's share of what is left; the first process writes the summary."""
    from hydra.utils import instantiate

    from i2i_dds.cli.progress import progress
    from i2i_dds.evaluation.drags import DragMeter
    from i2i_dds.training.processes import gather, process_group

    check(cfg, _RULES)
    drag, lora, teacher = instantiate(cfg.drag), instantiate(cfg.lora), instantiate(cfg.teacher)
    entries, folder, settings = _entries(cfg, teacher), run_dir(), _settings(cfg)
    with process_group() as (rank, world):
        if rank == 0:
            _check_same(folder, settings)
        gather(None)
        meter = DragMeter(teacher, cfg.seed, **OmegaConf.to_container(cfg.features))
        mine = [entry for entry in entries[rank::world] if not _finished(folder, entry.name)]
        with progress(f"Dragging {len(mine)}") as update:
            for done, entry in enumerate(mine, 1):
                _do(entry, folder, cfg, drag, teacher, lora if cfg.use_lora else None, meter)
                update(done, len(mine))
        gather(None)
        if rank == 0:
            _summary(folder, [entry.name for entry in entries])
    return folder


def _entries(cfg: DictConfig, teacher: Any) -> list[_Entry]:
    from i2i_dds.cli.edit_inputs import native_size
    from i2i_dds.data.dragbench import critter_items, list_items, load_item

    if cfg.data == "critters":
        size = native_size(teacher) if cfg.size is None else cfg.size
        kinds = [cfg.kinds] if isinstance(cfg.kinds, str) else list(cfg.kinds)
        items = critter_items(cfg.split, cfg.n or CRITTERS, cfg.seed, kinds, size)
        return [_Entry(truth.item.name, lambda t=truth: (t.item, t)) for truth in items]
    found = list_items(cfg.root)
    return [
        _Entry(name, lambda path=path, name=name: (load_item(path, name), None))
        for name, path in list(found.items())[: cfg.n]
    ]


def _do(
    entry: _Entry, folder: Path, cfg: DictConfig, drag: Any, teacher: Any, lora: Any, meter: Any
) -> None:
    """One item from its files to its row; what cannot be done is a row too."""
    from i2i_dds.cli.drag import say, write_pictures
    from i2i_dds.cli.drag_run import dragged_item, request_of
    from i2i_dds.evaluation.drags import DragRow
    from i2i_dds.runs import write_json

    start, trained = perf_counter(), 0.0
    try:
        item, truth = entry.read()
        request = request_of(item, teacher, cfg.size, cfg.fit)
        dragged, kept = dragged_item(drag, teacher, request, cfg, lora)
        row = meter(item, request, dragged, truth)
        write_pictures(folder / "pictures" / entry.name, item, request, dragged, truth)
        seconds, trained = dragged.seconds, 0.0 if kept is None else kept.seconds
    except UserError as error:
        say(f"{entry.name}: {error}")
        row, seconds = DragRow(entry.name, error=str(error)), perf_counter() - start
    kept_row = {"row": row.values(), "seconds": seconds, "lora_seconds": trained}
    write_json(folder / "items" / f"{entry.name}.json", kept_row)


def _finished(folder: Path, name: str) -> bool:
    """Whether an item has a row without an error; one with an error is tried again."""
    path = folder / "items" / f"{name}.json"
    return path.is_file() and not json.loads(path.read_text(encoding="utf-8"))["row"]["error"]


def _settings(cfg: DictConfig) -> dict[str, Any]:
    plain = resolved(cfg)
    return {key: value for key, value in plain.items() if key not in _FREE}


def _check_same(folder: Path, settings: dict[str, Any]) -> None:
    """Keeps rows of other settings from being counted with these.

    Raises:
        UserError: The folder holds such.
    """
    from i2i_dds.runs import plain, write_json

    path = folder / "settings.json"
    if not path.is_file():
        write_json(path, settings)
        return
    there, here = json.loads(path.read_text(encoding="utf-8")), plain(settings)
    for key in sorted({*there, *here}):
        if there.get(key) != here.get(key):
            raise UserError(
                f"out: '{folder}' was made with {key}: {there.get(key)}, not {here.get(key)}; "
                "give another out, or remove it"
            )


def _summary(folder: Path, names: list[str]) -> None:
    from dataclasses import fields

    from i2i_dds.evaluation.drag_sheet import contact_sheet, histogram
    from i2i_dds.evaluation.drags import DragRow, drag_metrics
    from i2i_dds.evaluation.summary import write_csv
    from i2i_dds.runs import replacing, write_image, write_json

    rows, seconds, lines = [], {}, []
    for name in names:
        kept = json.loads((folder / "items" / f"{name}.json").read_text(encoding="utf-8"))
        values = {k: float("nan") if v is None else v for k, v in kept["row"].items()}
        rows.append(DragRow(**values))
        seconds[name] = kept["seconds"]
        lines.append({"name": name, "seconds": kept["seconds"], "lora": kept["lora_seconds"]})
    columns = [field.name for field in fields(DragRow)]
    write_csv(folder / "rows.csv", columns, (row.values() for row in rows))
    # Apart, so that rows.csv is the same however many processes made it.
    write_csv(folder / "seconds.csv", ["name", "seconds", "lora"], lines)
    metrics = drag_metrics(rows, seconds)
    write_json(folder / "metrics.json", metrics)
    sheet = contact_sheet(rows, folder / "pictures")
    if sheet is not None:
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
