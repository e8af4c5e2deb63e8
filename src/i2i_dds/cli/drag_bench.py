"""``python scripts/drag_bench.py``: a benchmark of drags, item by item, on one process or many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from i2i_dds.checks import called, choice, integer, optional, several, text
from i2i_dds.cli.app import entry_point, run_dir, settings_of
from i2i_dds.cli.checks import check, listed
from i2i_dds.cli.compiling import COMPILE, check_weights_stay, compile_teacher
from i2i_dds.cli.drag import SETTINGS, lora_of
from i2i_dds.cli.keys import build
from i2i_dds.cli.numbers import show_numbers
from i2i_dds.errors import UserError
from i2i_dds.progress import notify, progress_bar

if TYPE_CHECKING:
    from i2i_dds.research.drag_benchmark import BenchItem

_RULES = {
    **SETTINGS,
    "data": choice("critters", "dragbench_s", "dragbench_d"),
    "root": text(),
    "n": optional(integer(min=1)),
    "batch_size": integer(min=1),
    "split": choice("train", "val", "test"),
    "kinds": several(choice("head", "accessory", "ear")),
    "features.teacher": optional(text()),
    "features.t": integer(min=0),
    "features.block": optional(integer(min=0)),
    "features.ensemble": integer(min=1),
    "features.regiondrag_side": optional(integer(min=64)),
}

_FREE = ("n", "paths", "out", "name", "lora_dir", "root")
"""Settings that may differ when a benchmark goes on."""


@entry_point("drag_bench", typed={"data": "benchmark"}, shares=True, resumes=True)
def main(cfg: DictConfig) -> Path:
    """Drags this process's share of what is left; the first process writes the summary."""
    check(cfg, _RULES | COMPILE, typed={"data": "benchmark"})
    from i2i_dds.cli.sizes import side
    from i2i_dds.distributed import on_rank_zero, process_group
    from i2i_dds.pipelines.drag import first_timestep
    from i2i_dds.research.drag_benchmark import DragBenchmark, drag_meter
    from i2i_dds.resumable import check_same, run_resumable

    check_weights_stay(cfg)
    drag, lora = build(cfg, "drag"), lora_of(cfg)
    if lora is not None and cfg.batch_size > 1:
        raise UserError(
            f"batch_size: {cfg.batch_size} does not go with use_lora=true, where each picture has "
            "weights of its own; give 1, or use_lora=false"
        )
    with process_group() as (rank, _):
        teacher = build(cfg, "teacher")
        compile_teacher(cfg, teacher)
        items = _items(cfg, teacher)
        features = {key: value for key, value in cfg.features.items() if key != "teacher"}
        on_first = notify if rank == 0 else (lambda note: None)
        bench = DragBenchmark(
            folder=run_dir(),
            teacher=teacher,
            drag=drag,
            lora=lora,
            seed=cfg.seed,
            size=side(cfg.size),
            fit=cfg.fit,
            meter=drag_meter(_measuring(cfg, teacher), cfg.seed, features, on_first),
            notify=notify,
            batch_size=cfg.batch_size,
        )
        first_timestep(drag, teacher)  # before anything is kept
        on_rank_zero(lambda: check_same(bench.folder, settings_of(cfg, _FREE)))
        with progress_bar("Dragging") as update:
            run_resumable(
                bench.pieces(items),
                finished=bench.finished,
                do=bench.do,
                called="items" if cfg.batch_size == 1 else "batches",
                on_progress=update,
                notify=notify,
            )
        if rank == 0:
            show_numbers(bench.summarize([item.name for item in items]))
    return bench.folder


def _items(cfg: DictConfig, teacher: Any) -> list[BenchItem]:
    from i2i_dds.data.sources import scene_size
    from i2i_dds.research.drag_benchmark import critter_bench, published_bench

    if cfg.benchmark == "critters":
        size = scene_size(cfg.size, teacher)
        return critter_bench(cfg.split, cfg.n, cfg.seed, listed(cfg.kinds), size)
    return published_bench(cfg.root, cfg.n)


def _measuring(cfg: DictConfig, teacher: Any) -> Any:
    """The teacher in whose features distances are measured."""
    from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

    if cfg.features.teacher is None:
        return teacher
    with called({"path": "features.teacher"}):
        return StableDiffusionTeacher.load(cfg.features.teacher, teacher.device, teacher.dtype)


if __name__ == "__main__":
    main()
