"""What a run is called by its loggers, and what their config says of where it came from."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from i2i_dds.cli.app import overrides
from i2i_dds.teacher.presets import config_dir

_LONGEST = 120
"""Characters of a name, as long as W&B shows one."""

_NOT_IN_A_NAME = {
    "task",
    "logger",
    "hparams_search",
    "callbacks",
    "paths",
    "debug",
    "ckpt_path",
    "tags",
}
"""Keys and groups that say nothing of what was trained, or that the name says already."""


def run_name(task: str, seed: int) -> str:
    """The task and what was typed for this run, such as ``cat2lion guidance.end=2 seed=0``.

    Args:
        task: The choice of the group.
        seed: Of the run; said where none was typed.
    """
    typed = [one.lstrip("+~") for one in overrides()]
    words = [one for one in typed if one.partition("=")[0].partition(".")[0] not in _NOT_IN_A_NAME]
    if not any(one.startswith("seed=") for one in words):
        words.append(f"seed={seed}")
    name = " ".join([task, *words])
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."


def run_group(task: str) -> str:
    """The folder of the sweep that the run belongs to, by its name; else its task."""
    hydra = HydraConfig.get()
    return Path(hydra.sweep.dir).name if hydra.mode is RunMode.MULTIRUN else task


def run_facts() -> dict[str, Any]:
    """Choices of all groups, what was typed, with secrets redacted, and the commit of the code."""
    hydra = HydraConfig.get()
    choices = {
        str(group): choice
        for group, choice in sorted(hydra.runtime.choices.items(), key=lambda pair: str(pair[0]))
        if not str(group).startswith("hydra/")
    }
    typed = overrides()
    command = " ".join([hydra.job.name, *map(shlex.quote, typed)])
    return {"run": {"choices": choices, "command": command, "overrides": typed} | _commit()}


def _commit() -> dict[str, Any]:
    """The commit of the checkout that the code is from, and whether files differ from it."""
    root = config_dir().parent
    if not (root / ".git").exists():
        return {"git_commit": None}
    try:
        head, status = (
            subprocess.run(
                ["git", "-C", str(root), *words],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None}
    return {"git_commit": head.strip(), "git_changed": bool(status.strip())}


OmegaConf.register_new_resolver("run_name", run_name, replace=True)
OmegaConf.register_new_resolver("run_group", run_group, replace=True)
