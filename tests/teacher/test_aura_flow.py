"""AuraFlow: what is particular to it, and its prediction against diffusers' own pipeline."""

from typing import Any

import pytest
import torch
from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.aura_flow import AURA_FLOW_SHAPES, AuraFlowTeacher, build_random_aura_flow

T = torch.tensor([10, 900])


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return str(build_random_aura_flow(tmp_path_factory.mktemp("aura_flow") / "tiny"))


@pytest.fixture
def teacher(folder):
    return AuraFlowTeacher.load(folder, device="cpu")


def latents(batch=2, height=8, width=8):
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(1))


def test_it_is_a_flow_of_four_channels(teacher):
    assert isinstance(teacher.process, RectifiedFlow)
    assert (teacher.latent_channels, teacher.native_size) == (4, 32)
    u = 500 / 1001
    assert teacher.process.sigma_at(499) == pytest.approx(1.73 * u / (1 + 0.73 * u))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 8)])
def test_its_velocity_is_that_of_diffusers_own_pipeline(folder, teacher, height, width):
    """Of the pipeline's first step from a given latent, for the prompt alone."""
    pipe: Any = AuraFlowPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    seen: dict[str, Any] = {}
    pipe.transformer.register_forward_hook(
        lambda module, args, kwargs, output: seen.update(kwargs, velocity=output[0]),
        with_kwargs=True,
    )
    z = latents(1, height, width)
    pipe(
        prompt="a cat", latents=z, height=4 * height, width=4 * width, guidance_scale=1.0,
        num_inference_steps=1, output_type="latent",
    )  # fmt: skip
    s = seen["timestep"]
    # The pipeline's first step is at s = 1, where nothing of the picture is left; ours are below.
    teacher._flow.sigma = lambda t, like: s.to(like.dtype).expand(len(t))
    velocity = teacher._forward(teacher.network, z, T[:1], teacher.embed(["a cat"]))
    torch.testing.assert_close(velocity, seen["velocity"], atol=1e-5, rtol=1e-5)


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


def test_sides_of_an_odd_number_of_cells_are_taken_and_too_large_ones_refused(teacher):
    text = teacher.embed(["a cat", ""])
    assert teacher.predict_noise(latents(2, 7, 5), T, text).shape == (2, 4, 7, 5)
    with pytest.raises(UserError, match="size: pictures of 68 x 32 are too large; .* most 64"):
        teacher.predict_noise(latents(2, 17, 8), T, text)


def test_joint_attention_shows_the_pictures_tokens(teacher):
    z, text = latents().requires_grad_(), teacher.embed(["a cat", ""])
    layers = teacher.self_attention(z, T, text)
    assert [layer.shape for layer in layers] == [(2, 16, 32)] * 2
    assert len(teacher.self_attention(z, T, text, "up")) == 1
    (gradient,) = torch.autograd.grad(layers[0].square().sum(), z)
    assert gradient.any()
    with pytest.raises(UserError, match="blocks: 'down' is not allowed"):
        teacher.self_attention(z, T, text, "down")


def test_the_full_shape_has_as_many_weights_as_was_counted():
    """6.86 billion; the makers say 6.8."""
    with torch.device("meta"):
        shape = AURA_FLOW_SHAPES["aura_flow"]["transformer"]
        transformer = AuraFlowTransformer2DModel(**shape)
    assert sum(p.numel() for p in transformer.parameters()) == 6_858_605_568
