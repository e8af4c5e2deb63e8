"""FLUX.1: what is particular to it, and its prediction against diffusers' own pipeline."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.flux import FluxTeacher
from i2i_dds.teacher.interface import AdaptableTeacher, AttentionTeacher
from i2i_dds.teacher.random_flux import FLUX_SHAPES, build_random_flux, flux_transformer_from

T = torch.tensor([10, 900])


@pytest.fixture(scope="session")
def dev(tmp_path_factory):
    return build_random_flux(tmp_path_factory.mktemp("flux") / "dev", "tiny")


@pytest.fixture(scope="session")
def schnell(tmp_path_factory):
    return build_random_flux(tmp_path_factory.mktemp("flux") / "schnell", "tiny", guided=False)


def load(path, **options):
    return FluxTeacher.load(str(path), device="cpu", **options)


def pictures(batch=2, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, size, size, generator=generator) * 2 - 1


def latents(batch=2, height=8, width=8):
    return torch.randn(batch, 16, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def copy(dev, tmp_path):
    return Path(shutil.copytree(dev, tmp_path / "copy"))


def edit_json(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_it_is_a_flow_of_sixteen_channels(dev):
    teacher = load(dev)
    assert isinstance(teacher, AdaptableTeacher)
    assert isinstance(teacher, AttentionTeacher)
    assert isinstance(teacher.process, RectifiedFlow)
    assert (teacher.latent_channels, teacher.vae_scale_factor) == (16, 4)
    assert teacher.native_size == 32


@pytest.mark.parametrize("which", ["dev", "schnell"])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 8)])
def test_an_euler_step_on_its_velocity_is_that_of_diffusers_own_pipeline(
    which, height, width, request
):
    """One step of the pipeline from a given latent, its own guidance included."""
    folder = str(request.getfixturevalue(which))
    pipe: Any = FluxPipeline.from_pretrained(folder)
    pipe.vae_scale_factor = 4  # it takes 8 where the folder says 4
    pipe.set_progress_bar_config(disable=True)
    z = latents(1, height, width)
    seen: dict[str, Any] = {}
    hook = pipe.transformer.register_forward_hook(
        lambda module, args, kwargs, output: seen.update(kwargs, velocity=output[0]),
        with_kwargs=True,
    )
    packed = FluxPipeline._pack_latents(z, 1, 16, height, width)
    tokens = load(folder)._t5_tokens()
    pipe(
        prompt="a cat", latents=packed, height=4 * height, width=4 * width, guidance_scale=2.5,
        num_inference_steps=1, output_type="latent", max_sequence_length=tokens,
    )  # fmt: skip
    hook.remove()
    teacher = load(folder, distilled_guidance=2.5)
    s = seen["timestep"]
    t = (teacher.process.sigma(torch.arange(1000), torch.ones(1000)) - s).abs().argmin()
    # The pipeline's first step is at s = 1, where nothing of the picture is left; ours are below.
    teacher._flow.sigma = lambda t, like: s.to(like.dtype).expand(len(t))
    velocity = teacher._forward(teacher.network, z, t[None], teacher.embed(["a cat"]))
    expected = FluxPipeline._unpack_latents(seen["velocity"], 4 * height, 4 * width, 4)
    torch.testing.assert_close(velocity, expected, atol=1e-5, rtol=1e-5)


def test_the_noise_follows_from_the_velocity(dev):
    teacher, z = load(dev), latents()
    text = teacher.embed(["a cat", ""])
    s = teacher.process.sigma(T, z)
    with torch.no_grad():
        expected = z + (1 - s) * teacher._forward(teacher.network, z, T, text)
    torch.testing.assert_close(teacher.predict_noise(z, T, text), expected)
    assert teacher.nfe == 2


def test_the_prompt_is_what_diffusers_makes_of_it(dev):
    pipe: Any = FluxPipeline.from_pretrained(str(dev))
    prompts = ["a cat", "a dog"]
    with torch.no_grad():
        embeddings, pooled, _ = pipe.encode_prompt(prompts, None, max_sequence_length=512)
    text = load(dev).embed(prompts)
    torch.testing.assert_close(text.embeddings, embeddings)
    torch.testing.assert_close(text["pooled"], pooled)


def test_the_distilled_guidance_is_told(dev, schnell):
    z = latents()

    def eps(folder, guidance_scale):
        teacher = load(folder, distilled_guidance=guidance_scale)
        return teacher.predict_noise(z, T, teacher.embed(["a cat", "a dog"]))

    assert not torch.equal(eps(dev, 1.0), eps(dev, 7.0))
    assert torch.equal(eps(schnell, 1.0), eps(schnell, 7.0))
    with pytest.raises(UserError, match="distilled_guidance: -1 is not allowed"):
        load(dev, distilled_guidance=-1)


def test_the_shift_of_dev_is_that_of_its_own_size(dev, schnell, copy):
    """4 x 4 tokens of a picture of 32 px; exp of the line through 0.5 at 256 and 1.15 at 4096."""
    mu = 0.5 + (16 - 256) * (1.15 - 0.5) / (4096 - 256)
    u = 500 / 1001
    shifted = math.exp(mu) / (math.exp(mu) + 1 / u - 1)
    assert load(dev).process.sigma_at(499) == pytest.approx(shifted)
    assert load(schnell).process.sigma_at(499) == pytest.approx(u)
    edit_json(copy / "scheduler" / "scheduler_config.json", time_shift_type="linear")
    with pytest.raises(UserError, match="use_dynamic_shifting: True is not supported"):
        load(copy)


def test_a_side_of_an_odd_number_of_cells_is_taken(dev):
    teacher, z = load(dev), latents(2, 7, 5)
    assert teacher.predict_noise(z, T, teacher.embed(["a cat", ""])).shape == z.shape


def test_joint_attention_shows_the_pictures_tokens(dev):
    teacher, z = load(dev), latents().requires_grad_()
    text = teacher.embed(["a cat", ""])
    layers = teacher.self_attention(z, T, text)
    assert [layer.shape for layer in layers] == [(2, 16, 32)] * 2
    assert len(teacher.self_attention(z, T, text, "up")) == 1
    (gradient,) = torch.autograd.grad(layers[0].square().sum(), z)
    assert gradient.any()
    with pytest.raises(UserError, match="blocks: 'down' is not allowed"):
        teacher.self_attention(z, T, text, "down")


@pytest.mark.parametrize("part", ["text_encoder_2", "tokenizer_2", "transformer", "scheduler"])
def test_a_folder_without_a_part_is_not_complete(copy, part):
    shutil.rmtree(copy / part)
    with pytest.raises(UserError, match="is not complete"):
        load(copy)


def test_the_full_shape_has_the_true_number_of_weights():
    """The transformer of dev as published, 11,901,408,320."""
    with torch.device("meta"):
        transformer = flux_transformer_from(FLUX_SHAPES["flux"])
    assert sum(p.numel() for p in transformer.parameters()) == 11_901_408_320
