import math

import pytest

from i2i_dds.research.benchmark.lead import lead


def row(editor, seed, strength, across, upwards, edit="hat"):
    return {
        **{"editor": editor, "edit": edit, "seed": seed, "strength": strength},
        **{"across": across, "upwards": upwards},
    }


DDS = [row("dds", seed, s, 30 - s, 2.0 * s + seed) for seed in (0, 1) for s in (0, 2, 4)]


def test_the_reference_is_read_off_its_curve_seed_by_seed():
    """At 29 the curve has 2 and 3, at 27 it has 6 and 7: leads of 1 and -1, mean 0."""
    rows = [*DDS, row("other", 0, 1, 29, 3.0), row("other", 1, 1, 27, 6.0)]
    lines = lead(rows, "dds", "across", "upwards")
    assert [line["edit"] for line in lines] == ["hat", "all"]
    for line in lines:
        assert line["editor"] == "other" and line["strength"] == 1 and line["seeds"] == 2
        assert line["lead"] == pytest.approx(0.0)
        assert line["lead_spread"] == pytest.approx(math.sqrt(2))
        assert line["across"] == 28


def test_where_the_curve_does_not_reach_there_is_no_lead():
    rows = [*DDS, row("other", 0, 1, 29, 3.0), row("other", 1, 1, 35, 6.0)]
    (line, _) = lead(rows, "dds", "across", "upwards")
    assert line["seeds"] == 1 and line["lead"] == pytest.approx(1.0)
    assert lead([*DDS, row("other", 0, 1, 25, 3.0)], "dds", "across", "upwards") == []


def test_one_point_is_no_curve_and_unknown_ones_are_no_points():
    few = [row("dds", 0, 1, 29, 2.0), row("dds", 0, 2, math.nan, 4.0), row("other", 0, 1, 29, 3.0)]
    assert lead(few, "dds", "across", "upwards") == []
    assert lead([row("other", 0, 1, 29, 3.0)], "dds", "across", "upwards") == []
