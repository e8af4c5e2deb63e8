import math

import pytest


def test_sharpness_is_that_of_the_sources_reconstruction(make_data):
    data = make_data()
    found = data.measures(data.z * 0.25)
    assert found["sharpness_kept"] == pytest.approx(0.25)
    assert (found["psnr_truth"], found["psnr_truth_gain"]) == (7.0, 2.0)
    assert math.isnan(found["psnr_backdrop"])  # nothing to measure with
    signs = [float(one.mean() > 0) for one in data.z]
    assert found["success"] == sum(signs) / 2
