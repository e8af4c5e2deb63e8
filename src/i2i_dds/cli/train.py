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

from i2i_dds.checks import called, choice, flag, integer, number, optional, text
from i2i_dds.cli.app import MOVED_SCORES, entry_point, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.compiling import COMPILE_AUTO, compile_teacher
from i2i_dds.cli.keys import build, typed_keys
from i2i_dds.cli.run_labels import run_facts
from i2i_dds.distributed import launched_rank, launched_world_size
from i2i_dds.errors import UserError
from i2i_dds.progress import notify
from i2i_dds.reading import expanded
from i2i_dds.signals import Stopped

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

    from i2i_dds.data.datamodule import EditDataModule
    from i2i_dds.tasks import TaskSet
    from i2i_dds.training.best import BestStudent
    from i2i_dds.training.module import EditTraining

log = logging.getLogger(__name__)

_RULES = {
    "seed": integer(min=0),
    "ckpt_path": optional(text()),
    "requeue": flag(),
    "gradient_checkpointing": flag(),
    "source_draws": optional(integer(min=1)),
    "judge": optional(text()),
    "trainer.num_nodes": integer(min=1),
    "trainer.max_steps": integer(min=1),
    "final.split": choice("val", "test"),
    "final.n": integer(min=1),
    "optimizer.lr": number(above=0),
    "timesteps.t_max": integer(min=1, max=1000),
}


@entry_point("train", text=["ckpt_path", "data.caption"], moved=MOVED_SCORES, shares=True)
def main(cfg: DictConfig) -> tuple[Path, float | None]:
    """Trains in the run folder; returns it and the number that a sweeper optimizes."""
    from i2i_dds.cli.trained import GRID, measure_trained
    from i2i_dds.evaluation.students import optimizable
    from i2i_dds.runs import disk_errors, replacing_folder, write_json
    from i2i_dds.student.load import STUDENT
    from i2i_dds.tasks import TaskSet
    from i2i_dds.training.card import write_card
    from i2i_dds.training.checkpoints import CONFIG
    from i2i_dds.training.loggers import finish_loggers
    from i2i_dds.training.media import log_student

    check(cfg, {**_RULES, **COMPILE_AUTO, "optimized_metric": optional(choice(*optimizable()))})
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    _check_requeue(cfg)
    settings, folder = resolved(cfg), run_dir()
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    checkpoint = _checkpoint(cfg, settings)
    zero_shot, parts = build(cfg, "zero_shot.editor"), _light_parts(cfg)
    module, data, trainer = _parts(cfg, tasks, parts)
    content = _content(checkpoint, module)
    compile_teacher(cfg, module.teacher, trainer.max_steps - content.get("global_step", 0))
    if launched_rank() == 0:
        with typed_keys(cfg, "data"):
            data.prepare_data()
            _say_what_is_held_out(data, cfg.final.split)
        _check_monitors(cfg, data)
        write_json(folder / CONFIG, settings)
    try:
        for logger in trainer.loggers:
            logger.log_hyperparams({**settings, **run_facts()})
        with disk_errors(folder), _stops_with_advice(trainer, folder, checkpoint):
            with typed_keys(cfg, "data"):
                with _monitors_named(cfg):
                    _fit(module, data, trainer, checkpoint, content)
                _take_weights(module, trainer, folder)
            if trainer.is_global_zero:
                with replacing_folder(folder / STUDENT) as partial:
                    module.student.save_pretrained(partial)
            numbers = measure_trained(cfg, module, data, trainer, folder, zero_shot)
            if trainer.is_global_zero:
                command = shlex.join(["i2i", "train", *numbers["overrides"]])
                write_card(folder / STUDENT, module.student, numbers, command, folder / GRID)
                log_student(trainer.loggers, folder / STUDENT, cfg.task.name, numbers)
    finally:
        finish_loggers(trainer.loggers)
    return folder, None if cfg.optimized_metric is None else numbers.get(cfg.optimized_metric)


def _say_what_is_held_out(data: EditDataModule, split: str) -> None:
    """Of pictures of one's own; and that nothing is measured where there are none for it."""
    sizes = data.sizes
    if data.held_out == "critters":
        return
    notify(
        "pictures: {train} to train on, {val} for validation, {test} for the test".format(**sizes)
    )
    if not sizes["val"]:
        notify("data.held_out: no picture is held out for validation, so none is measured")
    elif not sizes[split]:
        notify(f"final.split: no picture is held out for {split}, so none is measured at the end")


def _monitors(cfg: DictConfig) -> dict[str, str]:
    """Key -> name of the metrics of validation that callbacks go by."""
    return {
        f"callbacks.{name}.monitor": part.monitor
        for name, part in (cfg.callbacks or {}).items()
        if part is not None and part.get("monitor") is not None
    }


def _check_monitors(cfg: DictConfig, data: EditDataModule) -> None:
    for key, metric in _monitors(cfg).items():
        if not data.sizes["val"]:
            raise UserError(
                f"{key}: {metric!r} is measured by no validation, for no picture is held out for "
                "it; give data.held_out=fraction, or leave that callback out"
            )


@contextmanager
def _monitors_named(cfg: DictConfig) -> Iterator[None]:
    """Inside, a metric that no validation measures is refused under the key of who asks for it."""
    keys = _monitors(cfg)
    try:
        with called({"monitor": "callbacks.best.monitor"}):
            yield
    except RuntimeError as error:  # Lightning's early stopping has no type of its own for it
        for key, metric in keys.items():
            if f"conditioned on metric `{metric}` which is not available" in str(error):
                known = str(error).partition("the following: ")[2]
                raise UserError(
                    f"{key}: no validation measures {metric!r}; one of {known}"
                ) from error
        raise


def _check_requeue(cfg: DictConfig) -> None:
    if cfg.requeue and cfg.ckpt_path != "auto":
        raise UserError(
            "requeue: a job that is queued again would begin anew; give ckpt_path=auto beside it"
        )
    if cfg.requeue and "SLURM_JOB_ID" not in os.environ:
        raise UserError("requeue: this is no job of SLURM; leave it out")


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
    from i2i_dds.training.sharded import training_class

    trainer = _trainer(cfg)
    with called({"callbacks": "callbacks.ema"}):
        kind = training_class(trainer)
    teacher = build(cfg, "teacher")
    data = data_module(cfg, teacher, tasks)
    with typed_keys(cfg, "student"):
        student = build(cfg, "student")(teacher, tasks, seed=cfg.seed)
    if cfg.gradient_checkpointing:
        student.net.enable_gradient_checkpointing()
    plain = {name: cfg[name] for name in ("seed", "cache_mb", "source_draws")}
    module = kind(student=student, teacher=teacher, **light, **plain)
    return module, data, trainer


def _trainer(cfg: DictConfig) -> Trainer:
    """Lightning's, by one of the processes that were started or by all of them."""
    from i2i_dds.training.slurm import cluster_environment, requeue
    from i2i_dds.training.stopping import StopOnSignal

    callbacks, loggers = (
        [
            build(cfg, f"{group}.{name}")
            for name, part in (cfg[group] or {}).items()
            if part is not None
        ]
        for group in ("callbacks", "logger")
    )
    callbacks.append(StopOnSignal(requeue if cfg.requeue else None))
    environment = cluster_environment()
    plugins = {} if environment is None else {"plugins": [environment]}
    trainer = build(cfg, "trainer", callbacks=callbacks, logger=loggers, **plugins)
    if launched_world_size() > 1 and trainer.world_size == 1:
        raise UserError(
            f"trainer: {launched_world_size()} processes were started and each would train by "
            "itself; give trainer=ddp"
        )
    return trainer


def _content(checkpoint: Path | None, module: EditTraining) -> dict[str, Any]:
    """What the checkpoint holds, if it is one of this student."""
    from i2i_dds.student.load import (
        check_origin,
        check_resumable,
        check_same_student,
        read_checkpoint,
    )

    if checkpoint is None:
        return {}
    content = read_checkpoint(checkpoint, "ckpt_path")
    check_same_student(module.student, content["student"], "ckpt_path", checkpoint)
    text = module.student.tasks[0].instruction if module.student.conditioning == "text" else None
    check_origin(content["student"].get("teacher"), module.teacher, text, "ckpt_path")
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

    if not data.sizes["val"]:
        trainer.limit_val_batches = 0
    if checkpoint is None:
        trainer.fit(module, datamodule=data)
        return
    if content["global_step"] < trainer.max_steps:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        return
    log.info("its %d steps are done; measuring", content["global_step"])
    module.student.load_state_dict(load_student(checkpoint, "ckpt_path").state_dict())
    module.go_on_counting(content)
    for best in _best_students(trainer):
        if best.state_key in content["callbacks"]:
            best.load_state_dict(content["callbacks"][best.state_key])


def _take_weights(module: EditTraining, trainer: Trainer, folder: Path) -> None:
    """The best student where one is kept; the whole of one that was shared out."""
    from i2i_dds.student.load import LAST, load_student
    from i2i_dds.training.sharded import is_sharded

    for best in _best_students(trainer):
        if best.path is not None:
            module.student = load_student(best.path)
            if trainer.is_global_zero:
                notify(
                    f"student: that of step {best.step}, whose {best.monitor} of "
                    f"{best.value:.4g} is the best of all validations"
                )
            return
    if is_sharded(module.student):
        module.student = load_student(folder / LAST)


def _best_students(trainer: Trainer) -> list[BestStudent]:
    from i2i_dds.training.best import BestStudent

    return [one for one in trainer.callbacks if isinstance(one, BestStudent)]  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
