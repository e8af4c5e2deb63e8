"""Tables as text."""

from i2i_dds.evaluation.tables import Column, markdown_of_cells, markdown_table


def test_numbers_have_four_digits_and_what_is_unknown_is_a_dash():
    rows = [{"a": "x", "b": 1.23456, "c": 3}, {"a": "y", "b": float("nan"), "c": None}, {"a": ""}]
    assert markdown_table(["a", "b", "c"], rows).splitlines() == [
        "| a | b | c |",
        "| --- | --- | --- |",
        "| x | 1.235 | 3 |",
        "| y | – | – |",
        "| | – | – |",
    ]


def test_columns_of_numbers_stand_at_the_right():
    table = markdown_of_cells(["", "items", "s"], [["all", "3", ""]], align_right=True)
    assert table == "| | items | s |\n|---|---:|---:|\n| all | 3 | |\n"


def test_a_column_writes_its_digits_its_spread_and_its_percent():
    assert Column("gain", "gain", 2).written(2.375) == "2.38"
    assert Column("gain", "gain").written(3.0, 0.25) == "3.0 ± 0.2"
    assert Column("success", "success", 0, percent=True).written(0.5) == "50 %"
    assert Column("success", "success", percent=True).written(0.5, 0.0123) == "50.0 ± 1.2 %"
