import torch

from i2i_dds.teacher.rows import SameRows


def test_rows_that_are_equal_are_asked_once_and_all_are_answered() -> None:
    rows = SameRows.of(["a", "b", "a", "c", "b"])
    assert rows is not None and rows.labels == (0, 1, 0, 3, 1)
    values = torch.tensor([10, 20, 10, 30, 20])
    asked = values[rows.first]
    assert asked.tolist() == [10, 20, 30] and torch.equal(asked[rows.back], values)
    assert rows.agree(values.tolist()) and not rows.agree([10, 20, 11, 30, 20])


def test_where_no_two_are_equal_there_is_nothing_to_share() -> None:
    assert SameRows.of(["a", "b"]) is None and SameRows.of([]) is None
