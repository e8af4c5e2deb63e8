from typing import Any

import pytest
import torch
from diffusers import StableDiffusion3Pipeline

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.interface import AdaptableTeacher, AttentionTeacher, Teacher
from i2i_dds.teacher.random_sd3 import (
    SD3_SHAPES,
    build_random_sd3,
    sd3_vae_from,
    transformer_from,
)
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher

T = torch.tensor([10, 900])


def load(path, **options):
    return StableDiffusion3Teacher.load(str(path), device="cpu", **options)


def pictures(batch=2, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, size, size, generator=generator) * 2 - 1


def latents(batch=2, size=8):
    return torch.randn(batch, 16, size, size, generator=torch.Generator().manual_seed(1))


def test_it_is_a_teacher_of_sixteen_channels(tiny_sd3):
    assert isinstance(tiny_sd3, Teacher)
    assert isinstance(tiny_sd3, AdaptableTeacher)
    assert isinstance(tiny_sd3, AttentionTeacher)
    assert (tiny_sd3.latent_channels, tiny_sd3.vae_scale_factor) == (16, 4)
    assert tiny_sd3.native_size == 32


def test_the_flow_is_shifted_as_the_scheduler_says(tiny_sd3):
    process = tiny_sd3.process
    assert isinstance(process, RectifiedFlow)
    u = 500 / 1001
    assert process.sigma_at(499) == pytest.approx(3 * u / (1 + 2 * u))


def test_encode_and_decode_shift_and_scale(tiny_sd3):
    with torch.no_grad():
        mean = tiny_sd3.vae.encode(pictures()).latent_dist.mean
        expected = tiny_sd3.vae.decode(latents() / 1.5305 + 0.0609).sample
    torch.testing.assert_close(tiny_sd3.encode(pictures()), (mean - 0.0609) * 1.5305)
    torch.testing.assert_close(tiny_sd3.decode(latents()), expected.clamp(-1, 1))


@pytest.mark.parametrize("folder", ["tiny_sd3_folder", "tiny_sd3_t5_folder"])
def test_its_prediction_is_that_of_diffusers_own_pipeline(folder, request):
    """Same latent, same prompt, same t; the pipeline as a user of diffusers loads it."""
    path = str(request.getfixturevalue(folder))
    absent: Any = {} if "t5" in folder else {"text_encoder_3": None, "tokenizer_3": None}
    pipe: Any = StableDiffusion3Pipeline.from_pretrained(path, **absent)
    prompt, _, pooled, _ = pipe.encode_prompt(["a cat", ""], None, None)
    teacher, z = load(path), latents()
    text = teacher.embed(["a cat", ""])
    torch.testing.assert_close(text.embeddings, prompt, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(text["pooled"], pooled, atol=1e-5, rtol=0)
    s = teacher.process.sigma(T, z)
    with torch.no_grad():
        v = pipe.transformer(z, prompt, pooled, 1000 * s.flatten()).sample
    expected = z + (1 - s) * v
    torch.testing.assert_close(teacher.predict_noise(z, T, text), expected, atol=1e-5, rtol=0)
    assert teacher.nfe == 2


def test_t5_can_be_left_out_where_there_is_one(tiny_sd3_t5_folder):
    whole, without = load(tiny_sd3_t5_folder), load(tiny_sd3_t5_folder, t5=False, t5_tokens=0)
    assert len(whole.text_encoders) == 3
    assert len(without.text_encoders) == 2
    a, b = whole.embed(["a cat"]), without.embed(["a cat"])
    assert torch.equal(a.embeddings[:, :77], b.embeddings)
    assert a.embeddings.shape[1] == 77 + 256
    assert a.embeddings[:, 77:].any()


def test_zeros_stand_for_an_absent_second_clip(tmp_path, tiny_sd3_folder):
    teacher = load(build_random_sd3(tmp_path / "one", "tiny", second_clip=False), t5_tokens=0)
    text = teacher.embed(["a cat"])
    assert text.embeddings.shape == (1, 77, 40)
    assert text["pooled"].shape == (1, 28)
    assert text.embeddings[..., :16].any()
    assert text["pooled"][:, :16].any()
    assert not text.embeddings[..., 16:].any()
    assert not text["pooled"][:, 16:].any()


def test_a_side_of_an_odd_number_of_cells_is_taken(tiny_sd3):
    z, text = latents()[..., :7, :5], tiny_sd3.embed(["a cat", ""])
    assert tiny_sd3.predict_noise(z, T, text).shape == z.shape


def test_pictures_beyond_the_position_table_are_refused(tiny_sd3):
    with pytest.raises(UserError, match="size: pictures of 72 x 32 .* at most 64 a side"):
        tiny_sd3.predict_noise(torch.zeros(2, 16, 18, 8), T, tiny_sd3.embed(["a", "b"]))


def test_joint_attention_shows_the_pictures_tokens(tiny_sd3):
    z, text = latents().requires_grad_(), tiny_sd3.embed(["a cat", ""])
    layers = tiny_sd3.self_attention(z, T, text)
    assert [layer.shape for layer in layers] == [(2, 16, 32)] * 2
    assert len(tiny_sd3.self_attention(z, T, text, "up")) == 1
    (gradient,) = torch.autograd.grad(layers[0].square().sum(), z)
    assert gradient.any()
    with pytest.raises(UserError, match="blocks: 'down' is not allowed"):
        tiny_sd3.self_attention(z, T, text, "down")


def test_the_training_loss_is_that_of_the_velocity(tiny_sd3):
    z, text = latents(), tiny_sd3.embed(["a cat", ""])
    eps = torch.randn_like(z)
    z_t = tiny_sd3.process.mix(z, eps, T)
    s = tiny_sd3.process.sigma(T, z)
    v = (tiny_sd3.predict_noise(z_t, T, text) - z_t) / (1 - s)
    expected = (v - (eps - z)).square().mean((1, 2, 3))
    torch.testing.assert_close(tiny_sd3.training_loss(z, text, T, eps), expected, rtol=1e-3, atol=0)


def test_a_move_forgets_the_prompts_and_nothing_can_be_trained(tiny_sd3):
    before = tiny_sd3.embed(["a cat"]).embeddings
    assert torch.equal(tiny_sd3.to("cpu").embed(["a cat"]).embeddings, before)
    for module in (tiny_sd3.transformer, tiny_sd3.vae, *tiny_sd3.text_encoders):
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())


def test_the_full_shapes_have_the_true_number_of_weights():
    """The medium transformer as published, 2.028 billion; the VAE of 83.8 million."""
    with torch.device("meta"):
        shape = SD3_SHAPES["sd3_medium"]
        transformer, vae = transformer_from(shape), sd3_vae_from(shape)
    assert sum(p.numel() for p in transformer.parameters()) == 2_028_328_000
    assert sum(p.numel() for p in vae.parameters()) == 83_819_683
