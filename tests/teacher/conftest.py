import pytest

from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")


@pytest.fixture(scope="session")
def tiny_v_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd") / "tiny_v"
    return build_random_stable_diffusion(folder, "tiny", prediction_type="v_prediction")


@pytest.fixture
def tiny(tiny_folder):
    return StableDiffusionTeacher.load(str(tiny_folder), device="cpu")


@pytest.fixture
def tiny_v(tiny_v_folder):
    return StableDiffusionTeacher.load(str(tiny_v_folder), device="cpu")
