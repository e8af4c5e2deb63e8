"""The study of students: each variant is a training of its own, by the command that users type."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.app import config_dir
from i2i_dds.cli.checks import listed
from i2i_dds.cli.resume import check_same
from i2i_dds.errors import UserError

NUMBERS = (
    *("success", "psnr_truth", "psnr_truth_gain", "psnr_backdrop", "sharpness", "collapse"),
    "images_per_second",
)
_NAN = float("nan")
_ELSEWHERE = {
    "guidance": "guidance.end",
    "lr": "optimizer.lr",
    "t_min": "timesteps.t_min",
    "t_max": "timesteps.t_max",
    "size": "data.size",
}
"""Settings of the other studies, and what train.py has in their place."""


def students(cfg: DictConfig) -> Any:
    """Trains what is not trained yet, and reads what each run measured at its end."""
    from i2i_dds.cli.analyse import Findings, chosen
    from i2i_dds.cli.progress import progress

    _check_typed(HydraConfig.get().overrides.task)
    folder, rows = Path(cfg.folder).absolute(), []
    variants, task = chosen(cfg), HydraConfig.get().runtime.choices["task"]
    for name, own in variants.items():
        _check_task(task, name, own)
    runs = [(name, list(own), seed) for seed in listed(cfg.seeds) for name, own in variants.items()]
    with progress(f"Training {len(runs)} students") as update:
        for done, (name, own, seed) in enumerate(runs):
            update(done, len(runs))
            run = folder / f"{_slug(name)}-seed{seed}"
            if "data=teacher" in own:
                _pictures(cfg, task, folder)
            arguments = _arguments(cfg, task, own, seed, run)
            check_same(folder / "settings" / run.name, dict(a.split("=", 1) for a in arguments))
            if not (run / "metrics.json").is_file():
                last = run / "checkpoints" / "last.ckpt"
                _call("train", [*arguments, *([f"ckpt_path='{last}'"] if last.is_file() else [])])
            metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
            if "tasks" in metrics:  # of several, the one that all the others learn
                metrics = {**metrics, "collapse": None, **metrics["tasks"][task]}
            known = {key: metrics[key] for key in NUMBERS if metrics[key] is not None}
            rows.append({"variant": name, "seed": seed, **dict.fromkeys(NUMBERS, _NAN), **known})
        update(len(runs), len(runs))
    return Findings(rows, ("variant",), NUMBERS)


def _check_typed(overrides: Sequence[str]) -> None:
    """Refuses what the trainings would not see."""
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in _ELSEWHERE:
            raise UserError(
                f"{key}: study=student trains, and does not read it; "
                f"give \"shared=['{_ELSEWHERE[key]}={value}']\""
            )
        if key.startswith("task."):
            raise UserError(
                f"{key}: study=student gives train.py the task's name alone; "
                "write a conf/task/<name>.yaml and give task=<name>"
            )


def _check_task(task: str, name: str, own: Sequence[str]) -> None:
    """Before anything is trained: a variant of several tasks is measured on this one."""
    for part in own:
        key, _, several = part.partition("=")
        if key == "task":
            defaults = OmegaConf.load(config_dir() / "task" / f"{several}.yaml").defaults
            names = [one for one in defaults if one != "_self_"]
            if task not in names:
                raise UserError(
                    f"task: {task!r} is not allowed, for '{name}' learns {', '.join(names)}; "
                    "give one of these, or leave it out by only="
                )


def _arguments(cfg: DictConfig, task: str, own: Sequence[str], seed: int, run: Path) -> list[str]:
    """What train.py is told for one run, in a folder that is known beforehand."""
    given = {part.partition("=")[0] for part in (*own, *cfg.shared)}
    steps = cfg.max_steps * (cfg.task_steps if "task=animals" in own else 1)
    settled = {
        "task": task,
        "seed": seed,
        "judge": f"'{cfg.judge}'",
        "trainer.max_steps": steps,
        "final.split": cfg.split,
        "final.n": cfg.n,
        "hydra.run.dir": f"'{run}'",
        "optimized_metric": "null",
        "paths.data_dir": f"'{cfg.paths.data_dir}'",
    }
    arguments = [f"{key}={value}" for key, value in settled.items() if key not in given]
    return [*arguments, *_teacher(cfg), *cfg.shared, *own]


def _pictures(cfg: DictConfig, task: str, folder: Path) -> None:
    """Has the teacher draw what one variant is trained on."""
    settled = {"source": "teacher", "task": task, "n": cfg.pictures, "out": f"'{folder}/shards'"}
    arguments = [*(f"{key}={value}" for key, value in settled.items()), *_teacher(cfg)]
    check_same(folder / "settings" / "shards", dict(a.split("=", 1) for a in arguments))
    if not (folder / "shards").is_dir():
        _call("make_shards", arguments)


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def _teacher(cfg: DictConfig) -> list[str]:
    """The study's own teacher, as overrides."""
    values = OmegaConf.to_container(cfg.teacher, resolve=True)
    assert isinstance(values, dict)
    keys = [key for key in ("path", "device", "dtype") if values.get(key) is not None]
    chosen = HydraConfig.get().runtime.choices["teacher"]
    return [f"teacher={chosen}", *(f"teacher.{key}='{values[key]}'" for key in keys)]


def _call(command: str, arguments: Sequence[str]) -> None:
    """A command of ours in a process of its own; what it prints to standard error is seen.

    Raises:
        UserError: It failed.
    """
    code = f"from i2i_dds.cli.{command} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.DEVNULL, env=os.environ.copy(), check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(
            f"variants: {command} {' '.join(arguments)} ended with {done.returncode}; "
            "what it says is above"
        )
