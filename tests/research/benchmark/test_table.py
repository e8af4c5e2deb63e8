import math

import pytest

from i2i_dds.research.benchmark.table import by_edit, main_rows, summary, table

NAN = float("nan")


def row(editor, edit, seed, value, strength=1.0):
    return {"editor": editor, "edit": edit, "seed": seed, "strength": strength, "x": value}


ROWS = [
    *(row("a", "hat", 0, 1.0), row("a", "hat", 0, 3.0), row("a", "hat", 1, 5.0)),
    *(row("a", "snow", 0, 10.0), row("a", "snow", 1, None)),
    row("b", "hat", 0, 7.0, None),
]


def test_means_over_pictures_then_over_kinds_of_edit():
    lines = {(line["editor"], line["edit"]): line for line in table(ROWS, ["x"])}
    assert lines["a", "hat"]["x"] == 3.0 and lines["a", "hat"]["n"] == 3
    assert lines["a", "snow"]["x"] == 10.0 and lines["a", "snow"]["n"] == 2
    assert lines["a", "all"]["x"] == 6.5 and lines["a", "all"]["n"] == 5
    assert ("b", "all") not in lines  # it was not asked for snow
    pooled = {(line["editor"], line["edit"]): line for line in table(ROWS, ["x"], pooled=True)}
    assert pooled["a", "all"]["x"] == (1 + 3 + 5 + 10) / 4


def test_spread_is_the_sample_deviation_of_the_seeds_means():
    lines = {(line["editor"], line["edit"]): line for line in table(ROWS, ["x"])}
    # hat: seed 0 has mean 2, seed 1 has 5
    assert lines["a", "hat"]["x_spread"] == pytest.approx(3 / math.sqrt(2))
    assert math.isnan(lines["a", "snow"]["x_spread"])
    # all: seed 0 (2 + 10) / 2 = 6; seed 1 knows hat alone, 5
    assert lines["a", "all"]["x_spread"] == pytest.approx(1 / math.sqrt(2))


def test_columns_come_before_their_spreads():
    assert list(table(ROWS, ["x", "y"])[0]) == [
        *("editor", "edit", "strength", "n", "x", "y", "x_spread", "y_spread"),
    ]


def test_tables_show_the_main_strength_and_leave_out_what_nobody_knows():
    rows = [{**one, "y": NAN} for one in [*ROWS, row("a", "hat", 0, 100.0, 2.0)]]
    lines = main_rows(table(rows, ["x", "y"]), {"a": 1.0, "b": None})
    assert len(lines) == 4
    assert summary(lines, ["x", "y"], ["x"]).splitlines() == [
        "| editor | strength | n | x |",
        "| --- | --- | --- | --- |",
        "| a | 1 | 5 | 6.5 ± 0.7 |",
    ]
    assert by_edit(lines, "x").splitlines()[2:] == ["| a | 3 | 10 | 6.5 |", "| b | 7 | – | – |"]
