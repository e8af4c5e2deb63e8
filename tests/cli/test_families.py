"""Commands on teachers of Stable Diffusion XL's and 3's make, as a user types them."""

import json

import pytest

from i2i_dds.cli.edit import main as edit
from i2i_dds.cli.make_random_sd import main as make_random_sd
from i2i_dds.cli.train import main as train
from i2i_dds.teacher.aura_flow import build_random_aura_flow
from i2i_dds.teacher.flux2_klein import build_random_flux2_klein
from i2i_dds.teacher.random_flux import build_random_flux
from i2i_dds.teacher.random_sd3 import build_random_sd3
from i2i_dds.teacher.random_sdxl import build_random_sdxl
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from tests.teacher.single_files import sd_file

FEW = [
    *("trainer.max_steps=1", "trainer.val_check_interval=1", "trainer.log_every_n_steps=1"),
    *("data.n_train=4", "data.n_val=1", "data.n_test=1", "data.batch_size=2"),
    *("data.eval_batch_size=2", "final.n=1", "zero_shot.steps=1", "callbacks.pictures.n=1"),
    *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    "student.unet.attention_head_dim=1",
]


@pytest.fixture(scope="session")
def sd3(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("sd3") / "tiny"
    return str(build_random_sd3(folder, "tiny"))


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("sdxl") / "tiny"
    return str(build_random_sdxl(folder, "tiny"))


@pytest.mark.parametrize(
    ("made", "teacher", "guidance_scale"),
    [
        (("family=sdxl",), "sdxl", 5.0),
        (("family=sd3", "t5=true"), "sd35", 4.5),
        (("family=flux",), "flux", 1.0),
        (("family=flux2_klein",), "flux2_klein", 4.0),
        (("family=aura_flow",), "aura_flow", 3.5),
    ],
)
def test_random_weights_are_written_and_edit(
    typed, tmp_path, made, teacher, guidance_scale
) -> None:
    folder = tmp_path / "made"
    assert typed(make_random_sd, *made, f"folder={folder}", teacher=False).folder == folder
    few = ("steps=1", "n=1", "task=cat2lion")
    done = typed(edit, f"teacher={teacher}", f"teacher.path={folder}", *few)
    result = json.loads((done.folder / "result.json").read_text())
    assert result["config"]["guidance_scale"] == guidance_scale  # the family's own
    assert len(list((done.folder / "edited").iterdir())) == 1


def test_auto_is_the_family_of_the_folder(typed, sd3) -> None:
    done = typed(edit, "teacher=auto", f"teacher.path={sd3}", "steps=1", "n=1", "task=cat2lion")
    config = json.loads((done.folder / "result.json").read_text())["config"]
    assert config["teacher"]["_target_"].endswith("StableDiffusion3Teacher.load")
    assert config["guidance_scale"] == 4.5


def test_another_family_is_refused_in_one_sentence(typed, sd3) -> None:
    done = typed(edit, "teacher=sd15", f"teacher.path={sd3}", "steps=1", "n=1")
    assert done.code == 2
    assert done.sentence.endswith(
        "is a StableDiffusion3Pipeline; give a StableDiffusionPipeline, or teacher=sd35"
    )


@pytest.fixture(scope="session")
def flux(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("flux") / "tiny"
    return str(build_random_flux(folder, "tiny"))


@pytest.fixture(scope="session")
def aura_flow(tmp_path_factory) -> str:
    return str(build_random_aura_flow(tmp_path_factory.mktemp("aura_flow") / "tiny"))


@pytest.fixture(scope="session")
def flux2_klein(tmp_path_factory) -> str:
    return str(build_random_flux2_klein(tmp_path_factory.mktemp("flux2_klein") / "tiny"))


@pytest.mark.parametrize("teacher", ["sdxl", "sd35", "flux", "flux2_klein", "aura_flow"])
def test_a_student_is_trained_on_it(typed, request, teacher) -> None:
    path = request.getfixturevalue({"sd35": "sd3"}.get(teacher, teacher))
    done = typed(train, *FEW, "task=cat2lion", f"teacher={teacher}", f"teacher.path={path}")
    metrics = json.loads((done.folder / "metrics.json").read_text())
    assert metrics["steps"] == 1
    assert metrics["nonfinite"] == 0


def test_a_single_file_edits(typed, tmp_path) -> None:
    folder = build_random_stable_diffusion(tmp_path / "sd", "tiny")
    file = sd_file(folder, tmp_path / "model.safetensors")
    teacher = ("teacher=auto", f"teacher.path={file}")
    few = ("steps=1", "n=1", "task=cat2lion")
    done = typed(edit, *teacher, f"teacher.config={folder}", *few)
    config = json.loads((done.folder / "result.json").read_text())["config"]
    assert config["teacher"]["config"] == str(folder)
    assert config["guidance_scale"] == 7.5
    again = f"teacher.vae={folder}", f"teacher.config={folder}", "teacher.lora=[a.safetensors:0.5]"
    done = typed(edit, *teacher, *again, *few)
    assert "teacher.lora: 'a.safetensors' is no file" in done.sentence
    done = typed(edit, *teacher, "teacher.config=none", *few)
    assert done.code == 2
    assert "teacher.config: 'none' is no folder in diffusers' format" in done.sentence
