"""``python scripts/bench.py``: ours against plain loops, in turn, on the same weights."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import as_list, called, choice, optional, several
from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check, listed
from i2i_dds.cli.keys import build, typed_keys
from i2i_dds.progress import notify, progress_bar


@entry_point("bench")
def main(cfg: DictConfig) -> Path:
    """Measures every row, and writes bench.json, table.md and, of the CPU's suite, bench.png."""
    from i2i_dds.research.bench.run import ROWS

    rules = {"suite": choice("cpu", "gpu"), "setting": choice("full", "quick")}
    check(cfg, {**rules, "only": optional(several(choice(*ROWS)))})
    return _against_plain_loops(cfg) if cfg.suite == "cpu" else _true_shapes(cfg)


def _true_shapes(cfg: DictConfig) -> Path:
    from i2i_dds.research.bench.accelerator import (
        PARTS,
        AcceleratorSettings,
        accelerator_table,
        run_accelerator,
    )
    from i2i_dds.runs import run_folder, write_json, write_text

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)

    typed: Any = OmegaConf.to_container(cfg.gpu, resolve=True)
    with typed_keys(cfg, "gpu"):
        settings = AcceleratorSettings(**typed, rounds=cfg.rounds)
    count = PARTS * len(as_list(settings.teachers))
    with run_folder(run_dir()) as folder, progress_bar("bench") as update:
        done: list[str] = []

        def tell(part: str) -> None:
            done.append(part)
            update(len(done), count, part)

        with called({"path": "gpu.teachers", "device": "gpu.device"}):
            found = run_accelerator(settings, tell)
        found["settings"] = resolved(cfg)
        write_json(folder / "bench.json", found)
        write_text(folder / "table.md", accelerator_table(found))
    notify(accelerator_table(found))
    return run_dir()


def _against_plain_loops(cfg: DictConfig) -> Path:
    from i2i_dds.research.bench.report import table, write_report
    from i2i_dds.research.bench.run import PARTS, check_teacher, not_agreed, parts_of, run_bench
    from i2i_dds.research.bench.settings import BenchSettings
    from i2i_dds.runs import run_folder

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    settings = BenchSettings(**{one.name: cfg[one.name] for one in fields(BenchSettings)})
    teacher = build(cfg, "teacher")
    only = None if cfg.only is None else listed(cfg.only)
    with run_folder(run_dir()) as folder:
        with progress_bar("bench") as update:
            done: list[str] = []

            def tell(part: str) -> None:
                done.append(part)
                update(len(done), PARTS if only is None else parts_of(only), part)

            with typed_keys(cfg, "teacher"):
                check_teacher(teacher)
            found = run_bench(teacher, cfg.teacher.path, settings, tell, only)
        found["settings"] = resolved(cfg)
        write_report(folder, found)
    notify(table(found))
    for name in not_agreed(found):
        row = found[name]
        notify(
            f"{name}: no ratio, both ways differ by {row['max_difference']:.2g}, more than "
            f"{row['tolerance']:g}"
        )
    return run_dir()


if __name__ == "__main__":
    main()
