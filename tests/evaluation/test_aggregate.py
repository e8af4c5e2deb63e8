"""Means and spreads by hand."""

import math

import pytest

from i2i_dds.evaluation.aggregate import aggregate, mean, over_seeds, spread

NAN = float("nan")
ROWS = [
    {"by": "b", "seed": 0, "kind": "hat", "x": 1.0, "y": None},
    {"by": "a", "seed": 0, "kind": "hat", "x": 9.0, "y": 5.0},
    {"by": "b", "seed": 0, "kind": "hat", "x": 3.0, "y": NAN},
    {"by": "b", "seed": 1, "kind": "hat", "x": 8.0, "y": 7.0},
    {"by": "b", "seed": 1, "kind": "snow", "x": math.inf},
    {"by": "b", "seed": 0, "kind": "snow", "x": 24.0},
]


def test_means_are_over_the_rows_whose_number_is_finite():
    b, a = aggregate(ROWS, ("by",), ("x", "y"))
    assert (b.key, b.n, a.key, a.n) == (("b",), 5, ("a",), 1)
    assert b.means == {"x": (1 + 3 + 8 + 24) / 4, "y": 7.0}
    assert a.means == {"x": 9.0, "y": 5.0}


def test_the_spread_is_the_sample_deviation_of_the_seeds_means():
    b, a = aggregate(ROWS, ("by",), ("x", "y"))
    # seed 0: (1 + 3 + 24) / 3 = 28/3, seed 1: 8; two numbers differ by sqrt(2) deviations
    assert b.spreads["x"] == pytest.approx((28 / 3 - 8) / math.sqrt(2))
    assert math.isnan(b.spreads["y"]) and math.isnan(a.spreads["x"])  # one seed knows it


def test_each_part_counts_the_same():
    b, _ = aggregate(ROWS, ("by",), ("x",), parts="kind")
    assert b.means["x"] == ((1 + 3 + 8) / 3 + 24) / 2
    # seed 0: hat 2, snow 24, mean 13; seed 1: hat 8
    assert b.spreads["x"] == pytest.approx(5 / math.sqrt(2))


def test_each_row_may_be_a_seed_of_its_own():
    (hat,) = aggregate(ROWS[:1] + ROWS[2:4], ("by", "kind"), ("x",), seed=None)
    assert hat.key == ("b", "hat") and hat.means["x"] == 4.0
    assert hat.spreads["x"] == pytest.approx(math.sqrt((9 + 1 + 16) / 2))


def test_a_metric_that_no_row_has_is_unknown():
    (one,) = aggregate(ROWS[:1], (), ("x", "z"))
    assert one.key == () and one.means["x"] == 1 and math.isnan(one.means["z"])
    assert aggregate([], (), ("x",)) == []


def test_mean_and_spread_of_nothing_are_none():
    assert mean([NAN, None]) is None and spread([1.0, NAN]) is None
    assert mean([1.0, 2.0, NAN, -math.inf]) == 1.5
    assert spread([1.0, None, 3.0]) == pytest.approx(math.sqrt(2))


def test_over_seeds_takes_means_and_sample_deviations_of_what_is_known():
    nan = float("nan")
    rows = [
        {"variant": "a", "t": 1, "x": 1.0, "y": nan},
        {"variant": "b", "t": 1, "x": 5.0, "y": nan},
        {"variant": "a", "t": 1, "x": 4.0, "y": 2.0},
    ]
    first, second = over_seeds(rows, ("variant", "t"), ("x", "y"))
    assert (first["variant"], first["t"], first["seeds"], first["x"]) == ("a", 1, 2, 2.5)
    assert first["x_spread"] == pytest.approx(math.sqrt(2 * 1.5**2))
    assert first["y"] == 2.0 and math.isnan(first["y_spread"])
    assert second["x"] == 5.0 and math.isnan(second["y"]) and math.isnan(second["x_spread"])
