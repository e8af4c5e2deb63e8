"""FLUX.2 klein: what is particular to it, and its prediction against diffusers' own pipeline."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel
from safetensors.torch import load_file, save_file
from transformers import Qwen3Config, Qwen3ForCausalLM

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.flux2_klein import (
    FLUX2_KLEIN_SHAPES,
    Flux2KleinTeacher,
    build_random_flux2_klein,
)

T = torch.tensor([10, 900])
VAE_WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return str(build_random_flux2_klein(tmp_path_factory.mktemp("flux2_klein") / "tiny"))


@pytest.fixture
def teacher(folder):
    return Flux2KleinTeacher.load(folder, device="cpu")


@pytest.fixture
def pipe(folder):
    pipe: Any = Flux2KleinPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def edit_json(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def latents(batch=2, height=8, width=8):
    return torch.randn(batch, 32, height, width, generator=torch.Generator().manual_seed(1))


def pictures(height=32, width=32):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_it_is_a_flow_of_thirty_two_channels(teacher):
    """Its shift is diffusers', for the 16 tokens of a picture of its own size and 50 steps."""
    assert isinstance(teacher.process, RectifiedFlow)
    assert (teacher.latent_channels, teacher.vae_scale_factor, teacher.native_size) == (32, 4, 32)
    at_200, at_10 = 0.00016927 * 16 + 0.45666666, 8.73809524e-05 * 16 + 1.89833333
    shift = math.exp(at_10 + (at_200 - at_10) * 40 / 190)
    u = 500 / 1001
    assert teacher.process.sigma_at(499) == pytest.approx(shift * u / (1 + (shift - 1) * u))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 8)])
def test_its_velocity_is_that_of_diffusers_own_pipeline(pipe, teacher, height, width):
    """Of the pipeline's first step from a given latent, for the prompt alone."""
    seen: dict[str, Any] = {}
    pipe.transformer.register_forward_hook(
        lambda module, args, kwargs, output: seen.update(kwargs, velocity=output[0]),
        with_kwargs=True,
    )
    z = latents(1, height, width)
    pipe(
        prompt="a cat", latents=pipe._patchify_latents(z), height=4 * height, width=4 * width,
        guidance_scale=1.0, num_inference_steps=1, output_type="latent",
    )  # fmt: skip
    s = seen["timestep"]
    # The pipeline's first step is at s = 1, where nothing of the picture is left; ours are below.
    teacher._flow.sigma = lambda t, like: s.to(like.dtype).expand(len(t))
    velocity = teacher._forward(teacher.network, z, T[:1], teacher.embed(["a cat"]))
    unpacked = pipe._unpack_latents_with_ids(seen["velocity"], seen["img_ids"])
    expected = pipe._unpatchify_latents(unpacked)
    torch.testing.assert_close(velocity, expected, atol=1e-5, rtol=1e-5)


def test_guidance_is_that_of_diffusers_own_pipeline(pipe, teacher):
    """One step of its scheduler, from s = 1 to s = 0: ``z0 = z - v``, scaled for the decoder."""
    z = latents(1)
    (unscaled,) = pipe(
        prompt="a cat", latents=pipe._patchify_latents(z), height=32, width=32,
        guidance_scale=3.0, num_inference_steps=1, output_type="pt", return_dict=False,
    )  # fmt: skip
    teacher._flow.sigma = lambda t, like: like.new_ones(len(t))
    conditional, empty = (
        teacher._forward(teacher.network, z, T[:1], teacher.embed([prompt]))
        for prompt in ("a cat", "")
    )
    picture = teacher.decode(z - (empty + 3 * (conditional - empty)))
    torch.testing.assert_close((picture + 1) / 2, unscaled, atol=1e-5, rtol=1e-5)


def test_pictures_are_encoded_as_diffusers_own_pipeline_does(pipe, teacher):
    x = pictures(32, 48)
    expected = pipe._encode_vae_image(x, None)
    z = teacher.encode(x)
    torch.testing.assert_close(pipe._patchify_latents(z), expected, atol=1e-5, rtol=1e-5)


def test_decoding_undoes_the_scaling(teacher):
    mean = teacher.vae.encode(pictures(36, 28)).latent_dist.mode()
    z = teacher.encode(pictures(36, 28))
    assert z.shape[-2:] == (9, 7)
    expected = teacher.vae.decode(mean).sample.clamp(-1, 1)
    torch.testing.assert_close(teacher.decode(z), expected, atol=1e-4, rtol=1e-4)


def test_the_prompt_is_what_diffusers_makes_of_it(pipe, teacher):
    prompts = ["a cat", "a dog on a sofa"]
    with torch.no_grad():
        embeddings, _ = pipe.encode_prompt(prompts)
    assert embeddings.shape == (2, 512, 24)
    torch.testing.assert_close(teacher.embed(prompts).embeddings, embeddings)


def test_words_that_are_not_seen_are_reported(teacher, caplog):
    teacher.embed(["a cat"])
    assert not caplog.records
    teacher.embed([500 * "ab"])
    assert "prompt longer than" in caplog.text


def test_the_network_is_told_the_share_of_noise(teacher):
    z, told = latents(), {}
    teacher.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: told.update(kwargs), with_kwargs=True
    )
    eps = teacher.predict_noise(z, T, teacher.embed(["a cat", ""]))
    s = teacher.process.sigma(T, torch.ones(2))
    torch.testing.assert_close(told["timestep"], s)
    with torch.no_grad():
        velocity = teacher._forward(teacher.network, z, T, teacher.embed(["a cat", ""]))
    torch.testing.assert_close(eps, z + (1 - s[:, None, None, None]) * velocity)


def test_a_side_of_an_odd_number_of_cells_is_taken(teacher):
    text = teacher.embed(["a cat", ""])
    assert teacher.predict_noise(latents(2, 7, 5), T, text).shape == (2, 32, 7, 5)


def test_joint_attention_shows_the_pictures_tokens(teacher):
    z, text = latents().requires_grad_(), teacher.embed(["a cat", ""])
    layers = teacher.self_attention(z, T, text)
    assert [layer.shape for layer in layers] == [(2, 16, 32)] * 2
    assert len(teacher.self_attention(z, T, text, "up")) == 1
    (gradient,) = torch.autograd.grad(layers[0].square().sum(), z)
    assert gradient.any()


def test_another_shift_than_diffusers_is_refused(copy):
    config = copy / "scheduler" / "scheduler_config.json"
    edit_json(config, time_shift_type="linear")
    with pytest.raises(UserError, match="scheduler.time_shift_type: 'linear' is not supported"):
        Flux2KleinTeacher.load(str(copy), device="cpu")
    edit_json(config, use_dynamic_shifting=False, shift=2.0)
    u = 500 / 1001
    fixed = Flux2KleinTeacher.load(str(copy), device="cpu").process.sigma_at(499)
    assert fixed == pytest.approx(2 * u / (1 + u))


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("vae", {"patch_size": [1, 4]}, "VAE of .* has patch_size"),
        ("vae", {"batch_norm_eps": -1}, "VAE of .* has batch_norm_eps -1"),
        ("transformer", {"guidance_embeds": True}, "transformer"),
        ("transformer", {"in_channels": 64}, "transformer"),
        ("text_encoder", {"num_hidden_layers": 3}, "text_encoder"),
    ],
)
def test_a_config_of_another_model_is_refused(copy, part, values, message):
    edit_json(copy / part / "config.json", **values)
    with pytest.raises(UserError, match=f"^path: .*{message}"):
        Flux2KleinTeacher.load(str(copy), device="cpu")


def test_parts_of_another_model_are_refused(copy):
    """Whole in themselves: a wider text, a network that is told a scale, a shallow reader."""
    other = FLUX2_KLEIN_SHAPES["tiny"]
    for name, values, message in (
        ("transformer", {"joint_attention_dim": 30}, "takes a text of width 30 and .* give 24"),
        ("transformer", {"guidance_embeds": True}, "takes a scale of guidance True"),
    ):
        shutil.rmtree(copy / name)
        arguments: dict[str, Any] = {**other[name], "guidance_embeds": False, **values}
        Flux2Transformer2DModel(**arguments).save_pretrained(copy / name)
        with pytest.raises(UserError, match=message):
            Flux2KleinTeacher.load(str(copy), device="cpu")
    shutil.rmtree(copy / "transformer")
    plain: dict[str, Any] = {**other["transformer"], "guidance_embeds": False}
    Flux2Transformer2DModel(**plain).save_pretrained(copy / "transformer")
    text = {**other["text"], "vocab_size": 259, "num_hidden_layers": 20}
    Qwen3ForCausalLM(Qwen3Config(**text)).save_pretrained(copy / "text_encoder")
    with pytest.raises(UserError, match="has 20 layers, and layer 27 is asked for"):
        Flux2KleinTeacher.load(str(copy), device="cpu")


@pytest.mark.parametrize(
    ("tensor", "value"), [("bn.running_var", -1.0), ("bn.running_mean", math.nan)]
)
def test_statistics_that_are_none_are_refused(copy, tensor, value):
    weights = load_file(copy / "vae" / VAE_WEIGHTS)
    weights[tensor][5] = value
    save_file(weights, copy / "vae" / VAE_WEIGHTS)
    with pytest.raises(UserError, match="has means or variances of latents that are none"):
        Flux2KleinTeacher.load(str(copy), device="cpu")


def test_a_tokenizer_without_a_chat_is_refused(copy):
    (copy / "tokenizer" / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="^path: tokenizer of .* cannot be read .*chat"):
        Flux2KleinTeacher.load(str(copy), device="cpu")


def test_the_full_shape_has_as_many_weights_as_was_counted():
    """3.88 billion; the makers say 4."""
    with torch.device("meta"):
        shape = FLUX2_KLEIN_SHAPES["klein_4b"]["transformer"]
        transformer = Flux2Transformer2DModel(guidance_embeds=False, **shape)
    assert sum(p.numel() for p in transformer.parameters()) == 3_875_544_576
