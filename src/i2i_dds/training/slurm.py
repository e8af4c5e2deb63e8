"""Training under SLURM: Lightning's view of the tasks of srun, and a job that is queued again."""

from __future__ import annotations

import os
import subprocess

from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from typing_extensions import override

from i2i_dds.distributed import launched_world_size, slurm_address


class SlurmTasks(SLURMEnvironment):
    """Lightning's, but that all commands meet at one address, and that ``srun -n 2`` is enough.

    Lightning's own way to queue a job again saves in the middle of a step, under another name;
    `StopOnSignal` saves between two steps.
    """

    def __init__(self) -> None:
        super().__init__(auto_requeue=False)

    @property
    @override
    def main_address(self) -> str:
        os.environ.setdefault("MASTER_ADDR", slurm_address()[0])  # PyTorch reads it there
        return os.environ["MASTER_ADDR"]

    @property
    @override
    def main_port(self) -> int:
        os.environ.setdefault("MASTER_PORT", str(slurm_address()[1]))
        return int(os.environ["MASTER_PORT"])

    @staticmethod
    @override
    def _validate_srun_variables() -> None:
        """Takes also ``--ntasks``, of which Lightning wants ``--ntasks-per-node``."""


def cluster_environment() -> ClusterEnvironment | None:
    """Who started the processes of a training, where SLURM has a part in it; else None.

    In a shell of a job, or a single task, Lightning starts the others itself.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return None
    return SlurmTasks() if launched_world_size() > 1 else LightningEnvironment()


def requeue() -> str | None:
    """Asks SLURM to queue this job again; it then ends this one with SIGTERM.

    Returns:
        What went wrong, or None.
    """
    names = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")
    array, task = (os.environ.get(name) for name in names)
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
    if job is None:
        return "SLURM_JOB_ID is not set, so this is no job of SLURM"
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    except OSError as error:
        return f"scontrol: {error.strerror}"
    return None if done.returncode == 0 else done.stderr.strip() or "scontrol failed"
