import logging

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from i2i_dds.diffusion.process import CLEAN
from i2i_dds.teacher.guided import predict_guided
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.prompts import PromptCache, PromptEncoder
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


def pictures(batch=2, size=32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, size, size, generator=generator) * 2 - 1


def latents(batch=2, size=8):
    return torch.randn(batch, 4, size, size, generator=torch.Generator().manual_seed(1))


def test_it_is_a_teacher_of_four_channels(tiny):
    assert isinstance(tiny, Teacher)
    assert (tiny.latent_channels, tiny.vae_scale_factor) == (4, 4)
    assert (tiny.device.type, tiny.dtype) == ("cpu", torch.float32)


def test_encode_is_the_scaled_posterior_mean(tiny):
    z = tiny.encode(pictures())
    with torch.no_grad():
        expected = tiny.vae.encode(pictures()).latent_dist.mean * 0.18215
    torch.testing.assert_close(z, expected)
    assert torch.equal(tiny.encode(pictures()), z)


def test_decode_undoes_the_scale_and_clamps(tiny):
    with torch.no_grad():
        expected = tiny.vae.decode(latents() / 0.18215).sample
    torch.testing.assert_close(tiny.decode(latents()), expected.clamp(-1, 1))
    far = tiny.decode(latents() * 1e3)
    assert far.abs().max() == 1


def test_a_shift_of_the_latents_is_respected(tiny):
    plain_z, plain_x = tiny.encode(pictures()), tiny.decode(latents())
    tiny.vae.register_to_config(shift_factor=0.5)
    torch.testing.assert_close(tiny.encode(pictures()), plain_z - 0.5 * 0.18215)
    torch.testing.assert_close(tiny.decode(latents() - 0.5 * 0.18215), plain_x)


def test_each_prompt_is_embedded_once(tiny):
    seen = []
    tiny.text_encoder.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0])), with_kwargs=False
    )
    first = tiny.embed(["a cat", "", "a cat"]).embeddings
    again = tiny.embed(["", "a lion"]).embeddings
    assert seen == [2, 1]
    assert first.shape == (3, 77, 16)
    assert torch.equal(first[0], first[2])
    assert torch.equal(first[1], again[0])
    assert not torch.allclose(first[0], again[1])


def test_the_memory_of_prompts_is_bounded(tiny):
    encode = PromptCache(PromptEncoder(tiny.tokenizer, tiny.text_encoder), cache_size=2)
    found = encode(["a", "b", "c", "a"]).embeddings
    assert torch.equal(found[0], found[3])
    assert len(encode._cache) == 2


def test_lost_words_of_a_long_prompt_are_reported_once(tiny, caplog):
    prompt = "a cat " * 24 + "with a hat"
    with caplog.at_level(logging.WARNING):
        tiny.embed([prompt])
        tiny.to("cpu").embed([prompt])
        tiny.embed(["a cat with a hat"])
    (record,) = caplog.records
    # 75 of the tokens, here letters, are seen: 18 times "a cat" and "a ca".
    assert record.getMessage().endswith(": t " + "a cat " * 5 + "with a hat")
    seen = tiny.tokenizer.decode(tiny.tokenizer(prompt).input_ids[1:76])
    assert len(seen.replace(" ", "")) == 75


def test_predicted_noise_is_the_networks_output(tiny):
    t, text = torch.tensor([10, 900]), tiny.embed(["a cat", ""])
    with torch.no_grad():
        expected = tiny.unet(latents(), t, encoder_hidden_states=text.embeddings).sample
    assert torch.equal(tiny.predict_noise(latents(), t, text), expected)
    assert tiny.nfe == 2


def test_a_v_teacher_predicts_noise_too(tiny_v):
    t, text = torch.tensor([10, 900]), tiny_v.embed(["a cat", ""])
    with torch.no_grad():
        v = tiny_v.unet(latents(), t, encoder_hidden_states=text.embeddings).sample
    abar = tiny_v.process.alphas_cumprod[t].float().reshape(2, 1, 1, 1)
    expected = abar.sqrt() * v + (1 - abar).sqrt() * latents()
    torch.testing.assert_close(tiny_v.predict_noise(latents(), t, text), expected)


def test_nothing_of_it_can_be_trained_and_its_answers_can_be_saved_for_backward(tiny):
    for module in (tiny.unet, tiny.vae, tiny.text_encoder):
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())
    z = latents().requires_grad_()
    eps = tiny.predict_noise(z, torch.tensor([5, 5]), tiny.embed(["a cat", ""]))
    answers = [eps, tiny.encode(pictures()), tiny.decode(z), tiny.embed(["new"]).embeddings]
    assert not any(answer.requires_grad or answer.is_inference() for answer in answers)


def test_latents_keep_their_type_in_a_teacher_of_another(tiny_folder):
    teacher = StableDiffusionTeacher.load(str(tiny_folder), device="cpu", dtype="float64")
    assert teacher.dtype == teacher.unet.dtype == torch.float64
    z = teacher.encode(pictures())
    eps = teacher.predict_noise(z, torch.tensor([5, 5]), teacher.embed(["a cat", ""]))
    assert z.dtype == eps.dtype == teacher.decode(z).dtype == torch.float32
    assert teacher.embed(["a cat"]).embeddings.dtype == torch.float64


@pytest.mark.parametrize("folder", ["tiny_folder", "tiny_v_folder"])
def test_our_ddim_draws_the_picture_that_diffusers_pipeline_draws(folder, request):
    path = str(request.getfixturevalue(folder))
    pipe = StableDiffusionPipeline.from_pretrained(path)
    pipe.set_progress_bar_config(disable=True)
    teacher = StableDiffusionTeacher.load(path, device="cpu")
    z = latents(1)
    options = {"num_inference_steps": 5, "guidance_scale": 4.0, "height": 32, "width": 32}
    expected = pipe("a cat", latents=z, output_type="np", **options).images[0]

    text = teacher.embed(["a cat"])
    for t, u in teacher.process.pairs(5):
        (eps,) = predict_guided(teacher, [z], [text], torch.tensor([t]), 4.0)
        # diffusers' last step of Stable Diffusion ends at timestep 0, not at the clean latent
        u = 0 if u == CLEAN else u
        z = teacher.process.mix(teacher.process.to_clean(z, eps, t), eps, u)
    found = teacher.decode(z)[0].permute(1, 2, 0).numpy() / 2 + 0.5
    assert np.abs(found - expected).max() < 1e-4
