import math

import pytest

from i2i_dds.research.eval_batch import over_seeds


def test_sharpness_is_that_of_the_sources_reconstruction(make_data):
    data = make_data()
    found = data.measures(data.z * 0.25)
    assert found["sharpness_kept"] == pytest.approx(0.25)
    assert (found["psnr_truth"], found["psnr_truth_gain"]) == (7.0, 2.0)
    assert math.isnan(found["psnr_backdrop"])  # nothing to measure with
    signs = [float(one.mean() > 0) for one in data.z]
    assert found["success"] == sum(signs) / 2


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
