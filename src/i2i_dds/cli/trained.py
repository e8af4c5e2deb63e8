"""The end of a training: its student is measured, and the run folder says how well it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from i2i_dds.cli.app import overrides
from i2i_dds.cli.keys import build, typed_keys
from i2i_dds.cli.numbers import show_numbers
from i2i_dds.progress import notify

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from i2i_dds.data.datamodule import EditDataModule
    from i2i_dds.training.module import EditTraining

GRID = "grid.png"
"""In the run folder: held-out pictures and what the student makes of them."""


def measure_trained(
    cfg: DictConfig,
    module: EditTraining,
    data: EditDataModule,
    trainer: Trainer,
    folder: Path,
    zero_shot: Any,
) -> dict[str, Any]:
    """Writes metrics.json and, where pictures are held out, rows.csv and grid.png.

    Returns:
        What metrics.json holds, on every process.
    """
    from i2i_dds.evaluation.students import build_eval_dataset
    from i2i_dds.runs import write_json
    from i2i_dds.training.best import BestStudent

    dataset = build_eval_dataset(data, cfg.final.split, cfg.final.n)
    numbers: dict[str, Any] = {"n": 0, "nonfinite": 0}
    if len(dataset):
        numbers = _measure(cfg, module, data, trainer, folder, zero_shot, dataset)
    numbers |= _counted(numbers["nonfinite"], module, data, trainer)
    numbers |= {"split": cfg.final.split, "overrides": overrides()}
    for best in _of(trainer, BestStudent):
        if best.path is not None:
            numbers["best"] = {name: getattr(best, name) for name in ("monitor", "value", "step")}
    if trainer.is_global_zero:
        write_json(folder / "metrics.json", numbers)
        _log_final(trainer, numbers)
        for note in data.oddities.notes():
            notify(f"{data.folder}: {note}")
    return numbers


def _measure(
    cfg: DictConfig,
    module: EditTraining,
    data: EditDataModule,
    trainer: Trainer,
    folder: Path,
    zero_shot: Any,
    dataset: Any,
) -> dict[str, Any]:
    """The numbers of the held-out pictures; rows.csv and grid.png."""
    from i2i_dds.evaluation.grid import grid
    from i2i_dds.evaluation.measure import load_judge
    from i2i_dds.pipelines.student import Student
    from i2i_dds.runs import write_image
    from i2i_dds.training.validation import PictureTable

    student, teacher = module.student, module.teacher
    with typed_keys(cfg, "zero_shot.editor"):
        result = Student(student, teacher).evaluate(
            dataset,
            judge=load_judge(cfg.judge),
            batch_size=data.eval_batch_size,
            zero_shot=zero_shot,
            photographs=build(cfg, "photographs"),
            progress=True,
        )
    if trainer.is_global_zero:
        result.evaluation.write_csv(folder / "rows.csv")
        for table in _of(trainer, PictureTable):
            table.prepare(dataset, teacher)
            write_image(folder / GRID, grid(table.columns(student, teacher), table.captions))
    return result.numbers


def _counted(
    nonfinite: int, module: EditTraining, data: EditDataModule, trainer: Trainer
) -> dict[str, Any]:
    """What was counted in the course of training, on all processes."""
    from i2i_dds.distributed import gather
    from i2i_dds.training.throughput import Throughput

    speeds = [c.images_per_second for c in _of(trainer, Throughput)]
    return {
        "nonfinite": nonfinite + sum(gather(module.nonfinite)),
        "images_per_second": speeds[0] if speeds else None,
        "steps": trainer.global_step or trainer.max_steps,
        "unreadable_pictures": len(
            {name for names in gather(_unreadable(trainer)) for name in names}
        ),
        **data.oddities.counts(),
    }


def _unreadable(trainer: Trainer) -> list[str]:
    """Names of the pictures that this process could not decode."""
    return list(getattr(trainer.train_dataloader, "broken", []))


def _of(trainer: Trainer, kind: type) -> list[Any]:
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]  # type: ignore


def _log_final(trainer: Trainer, numbers: dict[str, Any]) -> None:
    """To the loggers, and for a person to standard error."""
    found = {name: value for name, value in numbers.items() if isinstance(value, int | float)}
    for logger in trainer.loggers:
        logger.log_metrics(
            {f"final/{name}": float(v) for name, v in found.items()}, numbers["steps"]
        )
        logger.save()
    show_numbers(numbers)
