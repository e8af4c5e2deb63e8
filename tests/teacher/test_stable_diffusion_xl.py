"""Stable Diffusion XL: what is particular to it, and its prediction against diffusers' own."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

from i2i_dds.diffusion.process import VariancePreserving
from i2i_dds.errors import UserError
from i2i_dds.student.build import student_from_teacher
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import AdaptableTeacher, AttentionTeacher, FeatureTeacher
from i2i_dds.teacher.random_sdxl import SDXL_SHAPES, sdxl_unet_from
from i2i_dds.teacher.stable_diffusion_xl import StableDiffusionXLTeacher

T = torch.tensor([10, 900])


def load(path, **options):
    return StableDiffusionXLTeacher.load(str(path), device="cpu", **options)


def pictures(batch=2, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, size, size, generator=generator) * 2 - 1


def latents(batch=2, height=8, width=8):
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def copy(tiny_sdxl_folder, tmp_path):
    return Path(shutil.copytree(tiny_sdxl_folder, tmp_path / "copy"))


def edit_json(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_it_shows_all_that_a_unet_can(tiny_sdxl):
    for kind in (AdaptableTeacher, AttentionTeacher, FeatureTeacher):
        assert isinstance(tiny_sdxl, kind)
    assert isinstance(tiny_sdxl.process, VariancePreserving)
    assert (tiny_sdxl.latent_channels, tiny_sdxl.vae_scale_factor) == (4, 4)
    assert tiny_sdxl.native_size == 32
    assert len(tiny_sdxl.text_encoders) == 2


@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 8)])
def test_a_ddim_step_on_its_prediction_is_that_of_diffusers_own_pipeline(
    tiny_sdxl_folder, height, width
):
    """One step of the pipeline from a given latent, guidance included, at its own size."""
    pipe: Any = StableDiffusionXLPipeline.from_pretrained(str(tiny_sdxl_folder))
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    z = latents(1, height, width)
    told: Any = {"prompt": "a cat", "latents": z, "output_type": "latent", "guidance_scale": 5.0}
    size = {"height": 4 * height, "width": 4 * width}
    expected = pipe(**told, **size, num_inference_steps=1).images
    teacher = load(tiny_sdxl_folder)
    t = pipe.scheduler.timesteps[:1]
    (eps,) = predict_guided(teacher, [z], [teacher.embed(["a cat"])], t, 5.0)
    stepped = pipe.scheduler.step(eps, t[0], z).prev_sample
    torch.testing.assert_close(stepped, expected, atol=1e-5, rtol=1e-5)
    assert teacher.nfe == 2


def test_the_prompt_is_what_diffusers_makes_of_it(tiny_sdxl_folder):
    pipe: Any = StableDiffusionXLPipeline.from_pretrained(str(tiny_sdxl_folder))
    tokens, no_tokens, pooled, no_pooled = pipe.encode_prompt("a cat")
    text = load(tiny_sdxl_folder).embed(["a cat", ""])
    torch.testing.assert_close(text.embeddings, torch.cat([tokens, no_tokens]))
    torch.testing.assert_close(text["pooled"], torch.cat([pooled, no_pooled]))
    assert not text.embeddings[1].any() and not text["pooled"][1].any()


def test_a_folder_may_say_that_the_empty_prompt_is_read(copy):
    edit_json(copy / "model_index.json", force_zeros_for_empty_prompt=False)
    text = load(copy).embed([""])
    assert text.embeddings.any() and text["pooled"].any()


def test_the_size_of_the_picture_is_told(tiny_sdxl):
    z, text = latents(), tiny_sdxl.embed(["a cat", "a dog"])
    told = []
    hook = tiny_sdxl.unet.register_forward_pre_hook(
        lambda module, args, kwargs: told.append(kwargs["added_cond_kwargs"]["time_ids"]),
        with_kwargs=True,
    )
    tiny_sdxl.predict_noise(z[..., :4], T, text)
    hook.remove()
    assert told[0].tolist() == [[32, 16, 0, 0, 32, 16]] * 2


@pytest.mark.parametrize(("overflows", "expected"), [(True, torch.float32), (False, torch.float16)])
def test_an_autoencoder_that_overflows_in_half_stays_in_single_precision(copy, overflows, expected):
    edit_json(copy / "vae" / "config.json", force_upcast=overflows)
    teacher = load(copy, dtype="float16")
    assert teacher.vae.dtype == expected
    assert teacher.unet.dtype == teacher.dtype == torch.float16


def test_the_refiner_is_refused(copy):
    edit_json(copy / "model_index.json", requires_aesthetics_score=True)
    with pytest.raises(UserError, match="is the refiner of Stable Diffusion XL.*give the base"):
        load(copy)


def test_parts_of_different_models_are_refused(copy):
    """The first encoder is as wide as the second one here."""
    shutil.copytree(copy / "text_encoder_2", copy / "text_encoder", dirs_exist_ok=True)
    file = copy / "text_encoder" / "model.safetensors"
    weights = {k: w for k, w in load_file(file).items() if k != "text_projection.weight"}
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match="takes a text of width 28 and its other parts give 24"):
        load(copy)


@pytest.mark.parametrize("part", ["text_encoder_2", "tokenizer_2", "unet", "scheduler"])
def test_a_folder_without_a_part_is_not_complete(copy, part):
    shutil.rmtree(copy / part)
    with pytest.raises(UserError, match="is not complete"):
        load(copy)


def test_no_student_starts_from_it(tiny_sdxl):
    tasks = TaskSet([Task("lion", {"cat": "lion"}, instruction="make it a lion")])
    with pytest.raises(UserError, match="told its prompts alone, not a StableDiffusionXLTeacher"):
        student_from_teacher(tiny_sdxl, tasks)


def test_the_full_shape_has_the_true_number_of_weights():
    """The base UNet as published: 2,567,463,684."""
    with torch.device("meta"):
        unet = sdxl_unet_from(SDXL_SHAPES["sdxl"])
    assert sum(p.numel() for p in unet.parameters()) == 2_567_463_684
