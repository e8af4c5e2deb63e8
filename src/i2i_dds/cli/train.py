"""``python train.py task=...``: trains a student, measures it on held-out pictures, saves it."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import choice, integer, number, optional, text
from i2i_dds.cli.app import MOVED_SCORES, entry_point, overrides, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.keys import build, typed_keys
from i2i_dds.distributed import launched_rank
from i2i_dds.errors import UserError
from i2i_dds.progress import notify
from i2i_dds.reading import expanded
from i2i_dds.signals import Stopped

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from i2i_dds.data.datamodule import EditDataModule
    from i2i_dds.tasks import TaskSet
    from i2i_dds.training.module import EditTraining

log = logging.getLogger(__name__)

_RULES = {
    "seed": integer(min=0),
    "ckpt_path": optional(text()),
    "judge": optional(text()),
    "trainer.max_steps": integer(min=1),
    "final.split": choice("val", "test"),
    "final.n": integer(min=1),
    "optimizer.lr": number(above=0),
    "timesteps.t_max": integer(min=1, max=1000),
}


@entry_point("train", text=["ckpt_path"], moved=MOVED_SCORES, shares=True)
def main(cfg: DictConfig) -> tuple[Path, float | None]:
    """Trains in the run folder; returns it and the number that a sweeper optimizes."""
    from i2i_dds.evaluation.students import optimizable
    from i2i_dds.runs import disk_errors, replacing_folder, write_json
    from i2i_dds.student.load import STUDENT
    from i2i_dds.tasks import TaskSet
    from i2i_dds.training.checkpoints import CONFIG
    from i2i_dds.training.loggers import finish_loggers

    check(cfg, {**_RULES, "optimized_metric": optional(choice(*optimizable()))})
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    settings, folder = resolved(cfg), run_dir()
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    checkpoint = _checkpoint(cfg, settings)
    zero_shot, parts = build(cfg, "zero_shot.editor"), _light_parts(cfg)
    module, data, trainer = _parts(cfg, tasks, parts)
    content = _content(checkpoint, module)
    if launched_rank() == 0:
        with typed_keys(cfg, "data"):
            data.prepare_data()
            data.dataset("train")
        write_json(folder / CONFIG, settings)
    try:
        for logger in trainer.loggers:
            logger.log_hyperparams(settings)
        with disk_errors(folder), _stops_with_advice(trainer, folder, checkpoint):
            with typed_keys(cfg, "data"):
                _fit(module, data, trainer, checkpoint, content)
            if trainer.is_global_zero:
                with replacing_folder(folder / STUDENT) as partial:
                    module.student.save_pretrained(partial)
            numbers = _measure(cfg, module, data, trainer, folder, zero_shot)
    finally:
        finish_loggers(trainer.loggers)
    return folder, None if cfg.optimized_metric is None else numbers[cfg.optimized_metric]


def _checkpoint(cfg: DictConfig, settings: dict[str, Any]) -> Path | None:
    """The checkpoint to go on from."""
    from i2i_dds.training.checkpoints import newest_checkpoint

    if cfg.ckpt_path is None:
        return None
    if cfg.ckpt_path not in ("last", "auto"):
        return expanded(cfg.ckpt_path)
    try:
        found = newest_checkpoint(settings, cfg.paths.output_dir, cfg.paths.sweep_dir)
    except UserError:
        if cfg.ckpt_path == "last":
            raise
        return None
    log.info("going on from %s", found)
    return found


def _light_parts(cfg: DictConfig) -> dict[str, Any]:
    """What is made in no time, and so before anything is loaded."""
    names = ("score", "optimizer", "scheduler", "guidance", "identity", "timesteps")
    return {name: build(cfg, name) for name in names}


def _parts(
    cfg: DictConfig, tasks: TaskSet, light: dict[str, Any]
) -> tuple[EditTraining, EditDataModule, Trainer]:
    """Builds everything else from its part of the config."""
    from i2i_dds.cli.sizes import data_module
    from i2i_dds.training.module import EditTraining
    from i2i_dds.training.stopping import StopOnSignal

    teacher = build(cfg, "teacher")
    data = data_module(cfg, teacher, tasks)
    with typed_keys(cfg, "student"):
        student = build(cfg, "student")(teacher, tasks, seed=cfg.seed)
    module = EditTraining(
        student=student, teacher=teacher, **light, seed=cfg.seed, cache_mb=cfg.cache_mb
    )
    callbacks, loggers = (
        [
            build(cfg, f"{group}.{name}")
            for name, part in (cfg[group] or {}).items()
            if part is not None
        ]
        for group in ("callbacks", "logger")
    )
    callbacks.append(StopOnSignal())
    trainer = build(cfg, "trainer", callbacks=callbacks, logger=loggers)
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1 and trainer.world_size == 1:
        raise UserError(
            f"trainer: {started} processes were started and each would train by itself; "
            "give trainer=ddp"
        )
    return module, data, trainer


def _content(checkpoint: Path | None, module: EditTraining) -> dict[str, Any]:
    """What the checkpoint holds, if it is one of this student."""
    from i2i_dds.student.load import check_resumable, check_same_student, read_checkpoint

    if checkpoint is None:
        return {}
    content = read_checkpoint(checkpoint, "ckpt_path")
    check_same_student(module.student, content["student"], "ckpt_path", checkpoint)
    check_resumable(content, "ckpt_path", checkpoint)
    return content


@contextmanager
def _stops_with_advice(trainer: Trainer, folder: Path, checkpoint: Path | None) -> Iterator[None]:
    """Says of a training that a signal stops where it stood and how to go on."""
    from i2i_dds.student.load import LAST

    try:
        yield
    except Stopped as stopped:
        last = folder / LAST if (folder / LAST).is_file() else checkpoint
        rest = "" if last is None else f"; go on with {shlex.quote(f'ckpt_path={last}')}"
        stopped.how = f" at step {trainer.global_step}{rest}"
        raise


def _fit(
    module: EditTraining,
    data: EditDataModule,
    trainer: Trainer,
    checkpoint: Path | None,
    content: dict[str, Any],
) -> None:
    """Trains, unless the checkpoint is that of a finished training already."""
    from i2i_dds.student.load import load_student

    if checkpoint is None:
        trainer.fit(module, datamodule=data)
        return
    if content["global_step"] < trainer.max_steps:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        return
    log.info("its %d steps are done; measuring", content["global_step"])
    module.student.load_state_dict(load_student(checkpoint, "ckpt_path").state_dict())
    module.nonfinite = int(content.get("nonfinite", 0))


def _measure(
    cfg: DictConfig,
    module: EditTraining,
    data: EditDataModule,
    trainer: Trainer,
    folder: Path,
    zero_shot: Any,
) -> dict[str, Any]:
    """The final validation: metrics.json, rows.csv and grid.png."""
    from i2i_dds.distributed import gather
    from i2i_dds.evaluation.grid import grid
    from i2i_dds.evaluation.measure import load_judge
    from i2i_dds.evaluation.students import build_eval_dataset
    from i2i_dds.pipelines.student import Student
    from i2i_dds.runs import write_image, write_json
    from i2i_dds.training.throughput import Throughput
    from i2i_dds.training.validation import PictureTable

    student, teacher = module.student, module.teacher
    dataset = build_eval_dataset(data, cfg.final.split, cfg.final.n)
    with typed_keys(cfg, "zero_shot.editor"):
        result = Student(student, teacher).evaluate(
            dataset,
            judge=load_judge(cfg.judge),
            batch_size=data.eval_batch_size,
            zero_shot=zero_shot,
        )
    speeds = [c.images_per_second for c in _of(trainer, Throughput)]
    numbers = result.numbers | {
        "nonfinite": result.numbers["nonfinite"] + sum(gather(module.nonfinite)),
        "images_per_second": speeds[0] if speeds else None,
        "steps": trainer.global_step or trainer.max_steps,
        "unreadable_pictures": len(
            {name for names in gather(_unreadable(trainer)) for name in names}
        ),
        **data.oddities.counts(),
        "split": cfg.final.split,
        "overrides": overrides(),
    }
    if not trainer.is_global_zero:
        return numbers
    result.evaluation.write_csv(folder / "rows.csv")
    for table in _of(trainer, PictureTable):
        table.prepare(dataset, teacher)
        write_image(folder / "grid.png", grid(table.columns(student, teacher), table.captions))
    write_json(folder / "metrics.json", numbers)
    _log_final(trainer, numbers)
    for note in data.oddities.notes():
        notify(f"{data.folder}: {note}")
    return numbers


def _unreadable(trainer: Trainer) -> list[str]:
    """Names of the pictures that this process could not decode."""
    return list(getattr(trainer.train_dataloader, "broken", []))


def _of(trainer: Trainer, kind: type) -> list[Any]:
    return [callback for callback in trainer.callbacks if isinstance(callback, kind)]  # type: ignore


def _log_final(trainer: Trainer, numbers: dict[str, Any]) -> None:
    """To the loggers, and for a person to standard error."""
    from rich.console import Console

    from i2i_dds.evaluation.metric import printed

    found = {name: value for name, value in numbers.items() if isinstance(value, int | float)}
    for logger in trainer.loggers:
        logger.log_metrics(
            {f"final/{name}": float(v) for name, v in found.items()}, numbers["steps"]
        )
        logger.save()
    for name, value in found.items():
        Console(stderr=True).print(f"{name:28}", printed(name, value))


if __name__ == "__main__":
    main()
