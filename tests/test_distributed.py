"""What the first of several processes refuses, all refuse: none may wait for one that has left."""

from datetime import timedelta

import pytest

from i2i_dds import distributed
from i2i_dds.errors import UserError


def refuse() -> None:
    raise UserError("strength: no")


def test_alone_the_first_process_acts_and_its_refusal_is_raised() -> None:
    done = []
    distributed.on_rank_zero(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(UserError, match="strength: no"):
        distributed.on_rank_zero(refuse)


@pytest.mark.parametrize("rank", [0, 1])
def test_every_process_hears_of_the_refusal_before_any_leaves(monkeypatch, rank: int) -> None:
    told = []

    def gather(value: object) -> list[object]:
        told.append(value)
        return [value if rank == 0 else UserError("strength: no"), None]

    monkeypatch.setattr(distributed, "get_rank_and_world_size", lambda: (rank, 2))
    monkeypatch.setattr(distributed, "gather", gather)
    with pytest.raises(UserError, match="strength: no"):
        distributed.on_rank_zero(refuse if rank == 0 else pytest.fail)
    assert [type(value) for value in told] == [UserError if rank == 0 else type(None)]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 0),
        ({"SLURM_PROCID": "3"}, 0),  # of a stranger, in whose shell this is a lone process
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "1"}, 0),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "bash"}, 0),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, 3),
        # Of a script of sbatch, which has no step of srun: python alone, and then by srun.
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_SUBMIT_DIR": "/"}, 0),
        (
            {
                **{"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_SUBMIT_DIR": "/"},
                "SLURM_STEP_ID": "0",
            },
            3,
        ),
        ({"LOCAL_RANK": "1", "SLURM_PROCID": "0"}, 1),  # Lightning's launcher in a SLURM shell
        ({"RANK": "2", "LOCAL_RANK": "0", "SLURM_PROCID": "1"}, 2),  # torchrun under SLURM
    ],
)
def test_launched_rank(monkeypatch, variables: dict[str, str], expected: int) -> None:
    no_launcher(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert distributed.launched_rank() == expected


def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = ("PROCID", "NTASKS", "JOB_NAME", "SUBMIT_DIR", "STEP_ID", "JOB_ID", "NODELIST")
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in (*slurm, "STEP_NODELIST", "LOCALID"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("127.0.0.1", 15000)),
        ({"SLURM_NODELIST": "gpu4"}, ("gpu4", 15000)),
        ({"SLURM_NODELIST": "gpu[04-07,9]-ib,login"}, ("gpu04-ib", 15000)),
        ({"SLURM_NODELIST": "a,b", "SLURM_STEP_NODELIST": "b"}, ("b", 15000)),
        ({"SLURM_JOB_ID": "12", "SLURM_STEP_ID": "3"}, ("127.0.0.1", 16203)),
        ({"SLURM_NODELIST": "a", "MASTER_ADDR": "c", "MASTER_PORT": "9"}, ("c", 9)),
    ],
)
def test_where_tasks_of_srun_meet(monkeypatch, variables: dict[str, str], expected) -> None:
    no_launcher(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert distributed.slurm_address() == expected


def test_one_whose_others_never_come_says_so(monkeypatch) -> None:
    no_launcher(monkeypatch)
    monkeypatch.setattr(distributed, "MEETING", timedelta(seconds=0.2))
    for name, value in {"NTASKS": "2", "PROCID": "0", "JOB_ID": "123"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with (
        pytest.raises(UserError, match="SLURM_NTASKS: not all 2 processes met at 127.0.0.1:"),
        distributed.process_group(),
    ):
        pass
