"""A Stable Diffusion 3 folder is read with the checks of Stable Diffusion's."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from i2i_dds.errors import UserError
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher


def load(path, **options):
    return StableDiffusion3Teacher.load(str(path), device="cpu", **options)


@pytest.fixture
def copy(tiny_sd3_t5_folder, tmp_path):
    return Path(shutil.copytree(tiny_sd3_t5_folder, tmp_path / "copy"))


def edit_json(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


PARTS = ["transformer", "vae", "scheduler", *("text_encoder", "tokenizer")]


@pytest.mark.parametrize(
    "part", [*PARTS, "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3"]
)
def test_a_folder_without_a_part_that_its_index_names_is_not_complete(copy, part):
    shutil.rmtree(copy / part)
    with pytest.raises(UserError, match="is not complete"):
        load(copy)


def test_a_t5_that_was_not_copied_can_be_left_out(copy):
    shutil.rmtree(copy / "text_encoder_3")
    shutil.rmtree(copy / "tokenizer_3")
    assert len(load(copy, t5=False).text_encoders) == 2


@pytest.mark.parametrize(
    "part", ["transformer/diffusion_pytorch_model", "text_encoder_2/model", "text_encoder_3/model"]
)
def test_every_weight_is_accounted_for(copy, part):
    file, folder = copy / f"{part}.safetensors", part.split("/")[0]
    weights = load_file(file)
    name = next(key for key in weights if key.endswith("weight") and "shared" not in key)
    save_file({k: w for k, w in weights.items() if k != name}, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"^path: {folder} of .* lacks 1 "):
        load(copy)
    save_file({**weights, "other": torch.zeros(1)}, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=rf"^path: {folder} of .* has, unlike .* other"):
        load(copy)


def test_the_index_may_say_how_many_tokens_stand_for_t5(copy):
    def tokens(**options):
        return load(copy, t5=False, **options).embed(["a cat"]).embeddings.shape[1] - 77

    assert tokens() == 256  # as diffusers has it
    edit_json(copy / "model_index.json", _t5_tokens=0)
    assert tokens() == 0
    assert tokens(t5_tokens=3) == 3


def test_a_scheduler_without_a_flow_is_refused(copy):
    edit_json(copy / "scheduler" / "scheduler_config.json", _class_name="DDIMScheduler")
    with pytest.raises(UserError, match="scheduler: DDIMScheduler has no flow; give a FlowMatch"):
        load(copy)


def test_a_shift_that_depends_on_the_size_is_refused(copy):
    edit_json(copy / "scheduler" / "scheduler_config.json", use_dynamic_shifting=True)
    with pytest.raises(UserError, match="use_dynamic_shifting: True is not supported"):
        load(copy)


def test_text_encoders_of_another_model_are_refused(copy):
    shutil.copytree(copy / "text_encoder", copy / "text_encoder_2", dirs_exist_ok=True)
    with pytest.raises(UserError, match="pooled text of width 28 and its text encoders give 32"):
        load(copy)
