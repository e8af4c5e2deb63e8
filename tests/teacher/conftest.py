import pytest

from i2i_dds.teacher.random_sd3 import build_random_sd3
from i2i_dds.teacher.random_sdxl import build_random_sdxl
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher
from i2i_dds.teacher.stable_diffusion_xl import StableDiffusionXLTeacher


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


@pytest.fixture(scope="session")
def tiny_sd3_folder(tmp_path_factory):
    """Both CLIPs, no T5."""
    return build_random_sd3(tmp_path_factory.mktemp("sd3") / "tiny", "tiny")


@pytest.fixture(scope="session")
def tiny_sd3_t5_folder(tmp_path_factory):
    """All three text encoders."""
    return build_random_sd3(tmp_path_factory.mktemp("sd3") / "tiny_t5", "tiny", t5=True)


@pytest.fixture
def tiny_sd3(tiny_sd3_folder):
    return StableDiffusion3Teacher.load(str(tiny_sd3_folder), device="cpu", t5_tokens=4)


@pytest.fixture(scope="session")
def tiny_sdxl_folder(tmp_path_factory):
    return build_random_sdxl(tmp_path_factory.mktemp("sdxl") / "tiny", "tiny")


@pytest.fixture
def tiny_sdxl(tiny_sdxl_folder):
    return StableDiffusionXLTeacher.load(str(tiny_sdxl_folder), device="cpu")
