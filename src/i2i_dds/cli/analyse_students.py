"""The study of students: each variant is a training of its own, by the command that users type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.errors import UserError

NUMBERS = (
    *("success", "psnr_truth", "psnr_truth_gain", "psnr_backdrop", "sharpness", "collapse"),
    "images_per_second",
)
_NAN = float("nan")


def students(cfg: DictConfig) -> Any:
    """Trains what is not trained yet, and reads what each run measured at its end."""
    from i2i_dds.cli.analyse import Findings, chosen
    from i2i_dds.cli.progress import progress

    folder, rows = Path(cfg.folder).absolute(), []
    seeds = list(cfg.seeds) if OmegaConf.is_list(cfg.seeds) else [cfg.seeds]
    variants = chosen(cfg)
    runs = [(name, list(own), seed) for seed in seeds for name, own in variants.items()]
    with progress(f"Training {len(runs)} students") as update:
        for done, (name, own, seed) in enumerate(runs):
            update(done, len(runs))
            run = folder / f"{name}-seed{seed}".replace(" ", "_").replace("/", "_")
            if not (run / "metrics.json").is_file():
                if any(part == "data=teacher" for part in own):
                    _pictures(cfg, folder / "shards")
                _train(cfg, own, seed, run)
            metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
            known = {key: metrics[key] for key in NUMBERS if metrics[key] is not None}
            rows.append({"variant": name, "seed": seed, **dict.fromkeys(NUMBERS, _NAN), **known})
        update(len(runs), len(runs))
    return Findings(rows, ("variant",), NUMBERS)


def _train(cfg: DictConfig, own: Sequence[str], seed: int, run: Path) -> None:
    """One run of train.py, in a folder that is known beforehand; a broken one goes on."""
    given = {part.partition("=")[0] for part in (*own, *cfg.shared)}
    several = "task=animals" in own
    steps = cfg.max_steps * (cfg.task_steps if several else 1)
    settled = {
        "task": "cat2lion",
        "seed": seed,
        "trainer.max_steps": steps,
        "final.split": cfg.split,
        "final.n": cfg.n,
        "hydra.run.dir": run,
        "optimized_metric": "null",
    }
    arguments = [f"{key}={value}" for key, value in settled.items() if key not in given]
    last = run / "checkpoints" / "last.ckpt"
    resume = [f"ckpt_path={last}"] if last.is_file() else []
    _call("train", [*arguments, *_teacher(cfg), *cfg.shared, *own, *resume])


def _pictures(cfg: DictConfig, shards: Path) -> None:
    """Has the teacher draw what one variant is trained on."""
    if not shards.is_dir():
        settled = {"source": "teacher", "task": "cat2lion", "n": cfg.pictures, "out": shards}
        arguments = [f"{key}={value}" for key, value in settled.items()]
        _call("make_shards", [*arguments, *_teacher(cfg)])


def _teacher(cfg: DictConfig) -> list[str]:
    """The study's own teacher, as overrides."""
    values = OmegaConf.to_container(cfg.teacher, resolve=True)
    assert isinstance(values, dict)
    keys = ("path", "device", "dtype")
    return [f"teacher.{key}={values[key]}" for key in keys if values.get(key) is not None]


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
