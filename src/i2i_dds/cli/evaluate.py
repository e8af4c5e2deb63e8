"""``python scripts/evaluate.py ckpt=...``: a student measured on held-out pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import choice, integer, optional, text
from i2i_dds.cli.app import MOVED_SCORES, entry_point, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.keys import build, typed_keys
from i2i_dds.cli.numbers import show_numbers
from i2i_dds.errors import UserError

SHOWN = 16
"""Rows of grid.png."""

_RULES = {
    "ckpt": text(),
    "split": choice("val", "test"),
    "n": integer(min=1),
    "seed": integer(min=0),
    "batch_size": integer(min=1),
    "judge": optional(text()),
}


@entry_point("evaluate", text=["ckpt", "data.caption"], moved=MOVED_SCORES, shares=True)
def main(cfg: DictConfig) -> Path:
    """Measures, writes the run folder on the first process, and returns it."""
    check(cfg, _RULES)
    from i2i_dds.cli.sizes import data_module
    from i2i_dds.distributed import process_group
    from i2i_dds.evaluation.grid import grid
    from i2i_dds.evaluation.measure import load_judge
    from i2i_dds.evaluation.picture_table import captions_of, columns_of, rows_of
    from i2i_dds.evaluation.students import build_eval_dataset
    from i2i_dds.pipelines.student import Student
    from i2i_dds.runs import run_folder, write_image, write_json
    from i2i_dds.student.load import check_fits, load_student

    zero_shot = build(cfg, "zero_shot.editor")
    network = load_student(cfg.ckpt, "ckpt")
    tasks = _tasks(cfg, network)
    judge, teacher = load_judge(cfg.judge), build(cfg, "teacher")
    check_fits(network, teacher, "ckpt")
    photographs = build(cfg, "photographs")
    student = Student(network, teacher)
    data = data_module(cfg, teacher, tasks)
    with process_group() as (rank, _), typed_keys(cfg, "data"):
        dataset = build_eval_dataset(data, cfg.split, cfg.n)
        if not len(dataset):
            raise UserError(
                f"split: no picture of '{data.folder}' is held out for {cfg.split}; "
                "give the other split, or data.held_out as in training"
            )
        with typed_keys(cfg, "zero_shot.editor"):
            result = student.evaluate(
                dataset,
                judge=judge,
                batch_size=cfg.batch_size,
                tasks=tasks,
                zero_shot=zero_shot,
                photographs=photographs,
                progress=True,
            )
    if rank == 0:
        rows = rows_of(dataset, SHOWN)
        picture = grid(columns_of(rows, network, teacher, tasks), captions_of(rows))
        with run_folder(run_dir()) as folder:
            write_image(folder / "grid.png", picture)
            result.evaluation.write_csv(folder / "rows.csv")
            write_json(folder / "metrics.json", result.numbers)
            write_json(folder / "config.json", resolved(cfg))
        show_numbers(result.numbers)
    return run_dir()


def _tasks(cfg: DictConfig, student: Any) -> Any:
    """The tasks to measure: the student's own, or those that are given and that it can do."""
    from i2i_dds.student.load import check_knows
    from i2i_dds.tasks import TaskSet

    if cfg.get("task") is None:
        return student.tasks
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    check_knows(student, tasks, "task")
    return tasks


if __name__ == "__main__":
    main()
