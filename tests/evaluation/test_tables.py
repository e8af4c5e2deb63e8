"""Tables as text."""

from i2i_dds.evaluation.tables import markdown, number, of_rows


def test_numbers_have_four_digits_and_what_is_unknown_is_a_dash():
    rows = [{"a": "x", "b": 1.23456, "c": 3}, {"a": "y", "b": float("nan"), "c": None}, {"a": ""}]
    assert of_rows(["a", "b", "c"], rows) == (
        "| a | b | c |\n| --- | --- | --- |\n"
        "| x | 1.235 | 3 |\n| y | – | – |\n| | – | – |\n"
    )  # fmt: skip


def test_columns_of_numbers_stand_at_the_right():
    table = markdown(["", "items", "s"], [["all", "3", ""]], align_right=True)
    assert table == "| | items | s |\n|---|---:|---:|\n| all | 3 | |\n"


def test_a_number_has_its_digits_its_spread_and_its_percent():
    assert number(2.375, 2) == "2.38"
    assert number(0.5, 0, percent=True) == "50 %"
    assert number(0.5, 1, percent=True, spread=0.0123) == "50.0 ± 1.2 %"
    assert number(3.0, spread=0.25) == "3.0 ± 0.2"
