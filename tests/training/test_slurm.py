import os
from pathlib import Path

import pytest
from pytorch_lightning.plugins.environments import LightningEnvironment

from i2i_dds.training.slurm import SlurmTasks, cluster_environment, requeue

SCRIPT = {"SLURM_SUBMIT_DIR": "/home", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}
TASK = {**SCRIPT, "SLURM_STEP_ID": "0", "SLURM_PROCID": "3", "SLURM_NODELIST": "gpu[04-05]"}
TORCHRUN = {"RANK": "0", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "MASTER_", "TORCHELASTIC_")) or name in TORCHRUN:
            monkeypatch.delenv(name)
    for name in ("MASTER_ADDR", "MASTER_PORT"):  # which Lightning's environments set
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        (TASK, SlurmTasks),
        ({**TASK, "SLURM_NTASKS": "1"}, LightningEnvironment),
        (SCRIPT, LightningEnvironment),  # python without srun: one process, which starts others
        ({**TASK, **TORCHRUN}, None),
    ],
)
def test_who_started_the_processes(monkeypatch, variables: dict[str, str], expected) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = cluster_environment()
    assert (None if found is None else type(found)) == expected


def test_tasks_meet_where_all_commands_do(monkeypatch) -> None:
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)
    found = SlurmTasks()
    assert (found.main_address, found.main_port) == ("gpu04", 15000 + 700)
    assert (found.world_size(), found.global_rank()) == (4, 3)
    assert not found.auto_requeue and found.creates_processes_externally


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({"SLURM_JOB_ID": "7"}, "requeue 7"),
        (
            {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"},
            "requeue 7_2",
        ),
    ],
)
def test_requeue_asks_for_this_job(monkeypatch, tmp_path: Path, variables, asked: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert requeue() == "scontrol: No such file or directory"
    program = tmp_path / "scontrol"
    program.write_text(f"#!/bin/sh\necho $* > {tmp_path}/asked\n")
    program.chmod(0o755)
    assert requeue() is None
    assert (tmp_path / "asked").read_text() == f"{asked}\n"
    program.write_text("#!/bin/sh\necho Access denied >&2; exit 1\n")
    assert requeue() == "Access denied"


def test_requeue_outside_of_slurm() -> None:
    assert requeue() == "SLURM_JOB_ID is not set, so this is no job of SLURM"
