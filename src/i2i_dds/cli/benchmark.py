"""``python scripts/benchmark.py``: every editor on every kind of edit, on one process or many."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import choice, integer, number, optional, several, text
from i2i_dds.cli.app import entry_point, run_dir, settings_of
from i2i_dds.cli.checks import check, listed
from i2i_dds.cli.compiling import COMPILE, compile_teacher
from i2i_dds.cli.keys import build
from i2i_dds.errors import UserError
from i2i_dds.progress import notify, progress_bar

if TYPE_CHECKING:
    from i2i_dds.research.benchmark.method import Method
    from i2i_dds.research.benchmark.sets import BenchmarkSet

_RULES = {
    "data": choice("critters", "piebench"),
    "setting": choice("full", "quick"),
    "root": text(),
    "n": optional(integer(min=1)),
    "seeds": several(integer(min=0)),
    "curve_seeds": integer(min=0),
    "curve_n": optional(integer(min=1)),
    "editors": optional(several(text())),
    "split": choice("val", "test"),
    "size": optional(integer(min=1)),
    "judge": text(),
    "clip": text(),
    "dino": optional(text()),
    "batch_size": integer(min=1),
    "pictures": integer(min=0),
    "sweep": optional(several(text())),
    "sweep_values": optional(several(number())),
    "sweep_default": optional(number()),
}


_FREE = (
    *("n", "seeds", "curve_seeds", "curve_n", "editors", "pictures", "paths", "out", "students"),
    *("sizes", "setting", "sweep", "sweep_values", "sweep_default"),
)
"""Settings that may differ when a benchmark goes on, or that are looked at method by method."""


@entry_point(
    "benchmark",
    typed={"data": "benchmark"},
    shares=True,
    resumes=True,
    moved={
        "arms": "give sweep=<method>.<setting> sweep_values=[...] to sweep another setting",
        "pull": "give lambda_l2=<number>",
        "contrast": "give lambda_contrastive=<number>",
    },
)
def main(cfg: DictConfig) -> Path:
    """Measures this process's share of what is left; the first process writes the summary."""
    check(cfg, _RULES | COMPILE, typed={"data": "benchmark"})
    from i2i_dds.distributed import process_group
    from i2i_dds.research.benchmark.run import Benchmark

    known = _known(cfg)
    with process_group() as (rank, _):
        teacher = build(cfg, "teacher")
        compile_teacher(cfg, teacher)
        data = _set(cfg, teacher)
        bench = Benchmark(
            folder=run_dir(),
            methods=_methods(cfg, data, known),
            data=data,
            seeds=listed(cfg.seeds),
            batch_size=cfg.batch_size,
            curve_seeds=cfg.curve_seeds,
            curve_n=cfg.curve_n,
            pictures=cfg.pictures,
            settings=settings_of(cfg, _FREE),
            notify=notify,
        )
        with progress_bar(f"Batches of {len(bench.methods)} methods") as update:
            table = bench.run(update)
        if table is not None:
            _report(table)
    return bench.folder


def _known(cfg: DictConfig) -> dict[str, Method]:
    """Every method by its name."""
    from i2i_dds.research.benchmark.methods import MethodSettings, methods

    plain = {f.name: cfg[f.name] for f in fields(MethodSettings)}
    return methods(MethodSettings(**OmegaConf.to_object(OmegaConf.create(plain))))  # type: ignore


def _methods(cfg: DictConfig, data: BenchmarkSet, known: dict[str, Method]) -> dict[str, Method]:
    """Those that are asked for, by name, students last."""
    from i2i_dds.research.benchmark.method import Method
    from i2i_dds.research.benchmark.methods import swept
    from i2i_dds.student.load import check_fits, load_student

    names = list(known) if cfg.editors is None else listed(cfg.editors)
    for name in names:
        if name not in known:
            raise UserError(f"editors: {name!r} is not allowed; give some of {', '.join(known)}")
    chosen = {name: known[name] for name in names}
    if cfg.sweep is not None:
        parameters = listed(cfg.sweep)
        if cfg.sweep_values is None:
            raise UserError(f"sweep_values: none are given; give those of {', '.join(parameters)}")
        for parameter in parameters:
            chosen = swept(chosen, parameter, listed(cfg.sweep_values), cfg.sweep_default)
    for name, path in cfg.students.items():
        if name in chosen:
            raise UserError(f"students.{name}: a method is called so; give another name")
        student = load_student(path, f"students.{name}")
        check_fits(student, data.teacher, f"students.{name}")
        if not set(data.edits) & set(student.tasks.names):
            raise UserError(
                f"students.{name}: it knows {', '.join(student.tasks.names)}, of which none is "
                "asked for; give task=<one that it knows>"
            )
        chosen[str(name)] = Method(student=student)
    return chosen


def _set(cfg: DictConfig, teacher: Any) -> BenchmarkSet:
    """The pictures that are asked for, with their measures."""
    from i2i_dds.data.sources import scene_size
    from i2i_dds.evaluation.measure import Evaluator, load_judge
    from i2i_dds.metrics.clip import Clip
    from i2i_dds.metrics.structure import StructureDistance
    from i2i_dds.research.benchmark import sets
    from i2i_dds.tasks import TaskSet

    size = scene_size(cfg.size, teacher)
    if cfg.benchmark == "piebench":
        if cfg.students:
            raise UserError("students: they know tasks, and PIE-Bench has none; leave them out")
    elif cfg.n is None:
        raise UserError("n: null is not allowed for critters; give a whole number of at least 1")
    clip = Clip.load(cfg.clip)
    structure = None if cfg.dino is None else StructureDistance.load(cfg.dino, key="dino")
    if cfg.benchmark == "piebench":
        lpips = sets.lpips_where_available("squeeze", notify) is not None
        return sets.piebench(
            teacher, clip, cfg.root, n=cfg.n, size=size, lpips=lpips, structure=structure
        )
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    evaluator = Evaluator(tasks, teacher, load_judge(cfg.judge))
    lpips = sets.lpips_where_available("alex", notify)
    return sets.critters(
        evaluator, clip, split=cfg.split, n=cfg.n, size=size, lpips=lpips, structure=structure
    )


def _report(table: str) -> None:
    """The table, for a person, on standard error; as it is where it would not fit."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(stderr=True)
    if max(map(len, table.splitlines())) <= console.width:
        console.print(Markdown(table))
    else:
        console.print(table, soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    main()
