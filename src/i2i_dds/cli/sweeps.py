"""Sweeps whose jobs run elsewhere, where what they print is not seen."""

from __future__ import annotations

from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class SaySweep(Callback):
    """Prints a sweep's folder where its jobs' own last lines are in files of SLURM."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Jobs of Hydra's other launchers have printed theirs."""
        if "submitit" in str(config.hydra.launcher._target_):
            print(config.hydra.sweep.dir, flush=True)
