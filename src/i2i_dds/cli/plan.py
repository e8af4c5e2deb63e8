"""``i2i plan``: whether a training fits in a GPU's memory, without weights and without a GPU."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import integer, text
from i2i_dds.cli.app import entry_point, overrides, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.keys import build, typed_keys
from i2i_dds.errors import UserError
from i2i_dds.progress import notify, progress_bar

_OPTIONS = ("config", "t5")
"""Keys of teachers that say which networks there are."""


@entry_point("plan")
def main(cfg: DictConfig) -> Path:
    """Counts, writes plan.json and returns its folder."""
    rows = {"data.batch_size": integer(min=1), "data.tasks_per_picture": integer(min=1)}
    check(cfg, {"gpu": text(), **rows})
    from i2i_dds.runs import run_folder, write_json
    from i2i_dds.training.plan import parse_memory, plans, table

    limit, settings = parse_memory(cfg.gpu), _settings(cfg)
    with progress_bar("Counting") as update:
        done: list[Any] = []

        def count(way: Any) -> Any:
            update(len(done), len(done) + 1)
            done.append(_count(cfg, way))
            update(len(done), len(done))
            return done[-1]

        found = plans(settings, limit, count)
    for line in table(found).splitlines():
        notify(line)
    notify(_sentence(cfg.gpu, found))
    with run_folder(run_dir()) as folder:
        ways = [
            {
                **{"fits": one.fits, "typed": one.typed, "needed_bytes": one.needed},
                **{"bytes": asdict(one.memory), "settings": asdict(one.settings)},
            }
            for one in found
        ]
        content = {"gpu_bytes": limit, "fits": found[-1].fits, "ways": ways}
        content |= {"overrides": overrides(), "config": resolved(cfg)}
        write_json(folder / "plan.json", content)
    return run_dir()


def _sentence(gpu: str, found: list[Any]) -> str:
    if found[0].fits:
        return f"it fits in {gpu} as it was typed"
    if found[-1].fits:
        return f"it fits in {gpu} with {' '.join(found[-1].typed)}"
    return f"it does not fit in {gpu} by these settings; give a smaller data.size or student"


def _settings(cfg: DictConfig) -> Any:
    from i2i_dds.training.plan import PlanSettings

    dtype = "float16" if cfg.teacher.dtype == "auto" else str(cfg.teacher.dtype)  # as on a GPU
    return PlanSettings(
        batch_size=cfg.data.batch_size,
        accumulate=cfg.trainer.accumulate_grad_batches,
        teacher_dtype=dtype,
        precision=str(cfg.trainer.precision),
        checkpointing=cfg.gradient_checkpointing,
        average=bool(cfg.callbacks) and cfg.callbacks.get("ema") is not None,
    )


def _count(cfg: DictConfig, way: Any) -> Any:
    """What one way to train takes on each process."""
    import torch

    from i2i_dds.data.sources import scene_size
    from i2i_dds.tasks import TaskSet
    from i2i_dds.teacher.placement import resolve_dtype
    from i2i_dds.teacher.weightless import weightless_teacher
    from i2i_dds.training.memory import step_memory

    meta, options = torch.device("meta"), {n: cfg.teacher[n] for n in _OPTIONS if n in cfg.teacher}
    choice = str(HydraConfig.get().runtime.choices["teacher"])
    with typed_keys(cfg, "teacher"):
        dtype = resolve_dtype(way.teacher_dtype, meta)
        teacher = weightless_teacher(choice, cfg.teacher.path, dtype, **options)
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    with meta, typed_keys(cfg, "student"):
        student = build(cfg, "student")(teacher, tasks, seed=cfg.seed)
    student = student.float()
    if way.checkpointing:
        student.net.enable_gradient_checkpointing()
    buckets = cfg.trainer.get("strategy") == "ddp"
    return step_memory(
        student,
        teacher,
        build(cfg, "optimizer"),
        way.batch_size * cfg.data.tasks_per_picture,  # rows, at most
        scene_size(cfg.data.size, teacher, "data.size"),
        half_activations=way.precision.endswith("-mixed"),
        copies=way.average + buckets,
        shares=_shares(cfg),
    )


def _shares(cfg: DictConfig) -> int:
    """Processes among which a training shares out the student."""
    if not isinstance(cfg.trainer.get("strategy"), DictConfig):  # a name: each has the whole
        return 1
    if cfg.callbacks and cfg.callbacks.get("ema") is not None:
        raise UserError("callbacks.ema: shared weights are not averaged; give callbacks.ema=null")
    devices = cfg.trainer.devices
    if not isinstance(devices, int) or devices < 1:
        raise UserError(
            f"trainer.devices: {devices!r} depends on the machine; give how many GPUs each has, "
            "such as trainer.devices=8"
        )
    return devices * cfg.trainer.num_nodes


if __name__ == "__main__":
    main()
