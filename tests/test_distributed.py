"""What the first of several processes refuses, all refuse: none may wait for one that has left."""

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
        ({"LOCAL_RANK": "1", "SLURM_PROCID": "0"}, 1),  # Lightning's launcher in a SLURM shell
        ({"RANK": "2", "LOCAL_RANK": "0", "SLURM_PROCID": "1"}, 2),  # torchrun under SLURM
    ],
)
def test_launched_rank(monkeypatch, variables: dict[str, str], expected: int) -> None:
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "SLURM_NTASKS", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert distributed.launched_rank() == expected
