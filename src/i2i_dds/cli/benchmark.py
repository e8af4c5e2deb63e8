"""``python scripts/benchmark.py``: every editor on every kind of edit, on one process or many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from i2i_dds.cli.app import entry_point, run_dir
from i2i_dds.cli.checks import check, choice, integer, listed, number, optional, several, text
from i2i_dds.cli.progress import progress, say
from i2i_dds.cli.resume import threads
from i2i_dds.errors import UserError

if TYPE_CHECKING:
    from i2i_dds.cli.benchmark_data import Benchmark
    from i2i_dds.studies.benchmark.arms import Arm

BENCHMARKS = ("critters", "piebench")
"""What ``data=`` takes; in the config it is ``benchmark``, for ``conf/data`` is of training."""

_RULES = {
    "setting": choice("full", "quick"),
    "root": text(),
    "n": optional(integer(min=1)),
    "seeds": several(integer(min=0)),
    "curve_seeds": integer(min=0),
    "curve_n": optional(integer(min=1)),
    "editors": optional(several(text())),
    "guidance": number(min=0),
    "lr": number(above=0),
    "iterations": several(integer(min=1)),
    "iterations_main": integer(min=1),
    "t_min": integer(min=0, max=999),
    "t_max": integer(min=1, max=1000),
    "pull": number(min=0),
    "contrast": number(min=0),
    "t0": several(number(above=0, max=1)),
    "t0_main": number(above=0, max=1),
    "sampler_steps": integer(min=1),
    "threshold": number(above=0, max=1),
    "split": choice("val", "test"),
    "size": optional(integer(min=1)),
    "judge": text(),
    "clip": text(),
    "dino": optional(text()),
    "batch_size": integer(min=1),
    "pictures": integer(min=0),
    "threads": optional(integer(min=1)),
}


@entry_point("benchmark", typed={"data": "benchmark"})
def main(cfg: DictConfig) -> Path:
    """Measures this process's share of what is left; the first process writes the summary."""
    from hydra.utils import instantiate

    from i2i_dds.cli.benchmark_data import benchmark
    from i2i_dds.cli.benchmark_run import Run
    from i2i_dds.cli.benchmark_summary import write_summary
    from i2i_dds.training.processes import gather, on_first, process_group

    check(cfg, _RULES)
    if cfg.benchmark not in BENCHMARKS:
        wanted = ", ".join(BENCHMARKS)
        raise UserError(f"data: {cfg.benchmark!r} is not allowed; give one of {wanted}")
    for key in ("iterations", "t0"):
        cfg[key] = listed(cfg[key])
        if cfg[f"{key}_main"] not in cfg[key]:
            raise UserError(
                f"{key}_main: {cfg[f'{key}_main']} is not allowed; give one of {cfg[key]}"
            )
    with threads(cfg.threads), process_group() as (rank, world):
        data = benchmark(cfg, instantiate(cfg.teacher))
        arms = _arms(cfg, data)
        run = Run(cfg, run_dir(), arms, data)
        on_first(run.check_settings)
        units = run.units()
        left = [unit for unit in units if not run.finished(unit)]
        if rank == 0 and len(left) < len(units):
            say(f"{len(units) - len(left)} of {len(units)} batches are finished already")
        gather(None)  # else one that is late finds batches finished that another has just done
        mine = left[rank::world]
        with progress(f"Batches of {len(arms)} editors") as update:
            for done, unit in enumerate(mine, 1):
                run.do(unit)
                if rank == 0:
                    update(done, len(mine))
        gather(None)
        if rank == 0:
            first = listed(cfg.seeds)[0]
            shown = {edit: run.scenes[first, edit] for edit in run.data.edits}
            main = {name: arm.main_value for name, arm in arms.items()}
            curve = run.rows([unit for unit in units if unit.every])
            kept = run.folder, run.data, main, run.rows(units), curve
            write_summary(*kept, shown, cfg.pictures)
    return run.folder


def _arms(cfg: DictConfig, data: Benchmark) -> dict[str, Arm]:
    """The editors that are asked for, by name, students last."""
    from hydra.utils import instantiate

    from i2i_dds.student.load import check_fits, load_student
    from i2i_dds.studies.benchmark.arms import Arm

    names = list(cfg.arms) if cfg.editors is None else listed(cfg.editors)
    for name in names:
        if name not in cfg.arms:
            raise UserError(f"editors: {name!r} is not allowed; give some of {', '.join(cfg.arms)}")
    arms = {name: instantiate(cfg.arms[name]) for name in names}
    for name, path in cfg.students.items():
        if name in arms:
            raise UserError(f"students.{name}: an editor is called so; give another name")
        student = load_student(path, f"students.{name}")
        check_fits(student, data.teacher, f"students.{name}")
        if not set(data.edits) & set(student.tasks.names):
            raise UserError(
                f"students.{name}: it knows {', '.join(student.tasks.names)}, of which none is "
                "asked for; give task=<one that it knows>"
            )
        arms[str(name)] = Arm(student=student)
    return arms


if __name__ == "__main__":
    main()
