"""One function loads whichever family a checkpoint is."""

import json
import shutil

import pytest

from i2i_dds import EditPipeline, load_teacher
from i2i_dds.errors import UserError
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher
from i2i_dds.teacher.stable_diffusion_xl import StableDiffusionXLTeacher


def test_the_index_tells_the_family(tiny_folder, tiny_sdxl_folder, tiny_sd3_folder):
    for folder, kind in (
        (tiny_folder, StableDiffusionTeacher),
        (tiny_sdxl_folder, StableDiffusionXLTeacher),
        (tiny_sd3_folder, StableDiffusion3Teacher),
    ):
        assert type(load_teacher(str(folder), device="cpu")) is kind
        assert type(EditPipeline.from_pretrained(str(folder), device="cpu").teacher) is kind


def test_each_family_has_its_own_presets(tiny_folder, tiny_sd3_folder):
    sd, sd3 = (load_teacher(str(folder)).presets for folder in (tiny_folder, tiny_sd3_folder))
    assert sd["zero_shot"]["guidance_scale"] == 7.5
    assert sd3["zero_shot"]["guidance_scale"] == 4.5


def test_options_of_a_family_are_passed_on(tiny_sd3_t5_folder):
    teacher = load_teacher(str(tiny_sd3_t5_folder), t5=False)
    assert len(teacher.text_encoders) == 2  # type: ignore[attr-defined]


def test_a_family_that_is_not_supported_is_named(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "copy")
    index = folder / "model_index.json"
    index.write_text(json.dumps({"_class_name": "KolorsPipeline"}))
    with pytest.raises(UserError, match="is a KolorsPipeline; give one of AuraFlowPipeline, Flux"):
        load_teacher(str(folder))


def test_a_missing_hub_id_says_what_to_download():
    with pytest.raises(UserError, match="hf download nobody/no-such-model"):
        load_teacher("nobody/no-such-model", local_files_only=True)


def test_the_second_pocket_is_known_by_its_name(tiny_sd3_folder, tmp_path, monkeypatch):
    shutil.copytree(tiny_sd3_folder, tmp_path / "flow" / "teacher")
    monkeypatch.setenv("I2I_DDS_POCKET", str(tmp_path))
    teacher = load_teacher("pocket_flow")
    assert type(teacher) is StableDiffusion3Teacher
    assert teacher.presets["zero_shot"]["guidance_scale"] == 3.0


def test_a_folder_of_pocket_weights_without_the_second_says_so(pocket, monkeypatch):
    monkeypatch.setenv("I2I_DDS_POCKET", str(pocket))
    with pytest.raises(UserError, match=r"path: '.*flow/teacher' holds no model_index.json"):
        load_teacher("pocket_flow")
