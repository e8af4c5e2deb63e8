"""What the first of several processes refuses, all refuse: none may wait for one that has left."""

import pytest

from i2i_dds.errors import UserError
from i2i_dds.training import processes


def refuse() -> None:
    raise UserError("t0: no")


def test_alone_the_first_process_acts_and_its_refusal_is_raised() -> None:
    done = []
    processes.on_first(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(UserError, match="t0: no"):
        processes.on_first(refuse)


@pytest.mark.parametrize("rank", [0, 1])
def test_every_process_hears_of_the_refusal_before_any_leaves(monkeypatch, rank: int) -> None:
    told = []

    def gather(value: object) -> list[object]:
        told.append(value)
        return [value if rank == 0 else UserError("t0: no"), None]

    monkeypatch.setattr(processes, "place", lambda: (rank, 2))
    monkeypatch.setattr(processes, "gather", gather)
    with pytest.raises(UserError, match="t0: no"):
        processes.on_first(refuse if rank == 0 else pytest.fail)
    assert [type(value) for value in told] == [UserError if rank == 0 else type(None)]
