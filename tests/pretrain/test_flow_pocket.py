"""The stages of the second pocket, to a folder that diffusers opens."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import StableDiffusion3Pipeline
from PIL import Image
from safetensors.torch import load_file

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.pretrain.flow_pocket import FlowPocket
from i2i_dds.pretrain.mmdit import (
    ABSENT_TOKENS,
    FlowBatch,
    FlowStage,
    KeyBiasProcessor,
    _weight_of_last,
    new_mmdit,
)
from i2i_dds.pretrain.report import report
from i2i_dds.pretrain.stages import Recipe, held_out
from i2i_dds.pretrain.text import new_projected_encoder, new_tokenizer
from i2i_dds.pretrain.unet import tokenize_prompts
from i2i_dds.pretrain.vae import new_vae, scaled_latents, set_scaling, unscaled
from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    recipes = {name: Recipe(n=16, steps=2, batch_size=4, lr=1e-3) for name in FlowPocket.stages}
    made = FlowPocket(
        folder, folder / "pocket", recipes, size=64, channels=(8, 8, 8, 16), latent_channels=16
    )
    for stage in made.stages:
        made.run(stage)
    return made


@pytest.fixture(scope="module")
def pipeline(pretraining) -> Any:
    folder = str(pretraining.out / "teacher")
    absent: Any = {"text_encoder_3": None, "tokenizer_3": None}  # diffusers wants to be told so
    pipe = StableDiffusion3Pipeline.from_pretrained(folder, dtype=torch.float32, **absent)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_all_stages_ship_their_models(pretraining):
    assert sorted(p.name for p in pretraining.out.iterdir()) == ["judge", "teacher"]
    assert len(list(pretraining.out.rglob("*.safetensors"))) == 5


def test_the_decoder_learns_more_and_latents_stay(pretraining):
    before, after = (
        load_file(pretraining.work / stage / "final" / "diffusion_pytorch_model.safetensors")
        for stage in ("vae", "decoder")
    )
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}
    shipped = pretraining.out / "teacher" / "vae" / "diffusion_pytorch_model.safetensors"
    assert all(torch.equal(after[name], value) for name, value in load_file(shipped).items())


def test_latents_come_back_unscaled():
    vae = new_vae((8, 8, 8, 16), 16, 64).eval()
    x = held_out(4).images(torch.arange(4))
    set_scaling(vae, x, shift=True)
    with torch.no_grad():
        mean: Any = vae.encode(x)
    assert torch.allclose(unscaled(vae, scaled_latents(vae, x)), mean.latent_dist.mean, atol=1e-5)


def test_our_adapter_loads_what_ships_without_tokens_for_t5(pretraining, pipeline):
    """And its prediction is that of the network that diffusers loads, given as many."""
    teacher = StableDiffusion3Teacher.load(str(pretraining.out / "teacher"), device="cpu")
    prompt, _, pooled, _ = pipeline.encode_prompt("a cat", None, None, max_sequence_length=0)
    text, z, t = teacher.embed(["a cat"]), torch.randn(1, 16, 8, 8), torch.tensor([400])
    assert torch.equal(text.embeddings, prompt)
    assert text.embeddings.shape[1] == 32
    s = teacher.process.sigma(t, z)
    with torch.no_grad():
        v = pipeline.transformer(z, prompt, pooled, 1000 * s.flatten()).sample
    torch.testing.assert_close(
        teacher.predict_noise(z, t, text), z + (1 - s) * v, atol=1e-5, rtol=0
    )


def test_the_stage_embeds_prompts_as_diffusers_does(pretraining, pipeline):
    encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
    stage = FlowStage(new_mmdit(192, 192), encoders, RectifiedFlow(), steps=1, lr=1.0)
    tokens = tokenize_prompts(pipeline.tokenizer, ["a cat"])
    prompt, _, pooled, _ = pipeline.encode_prompt("a cat", None, None, max_sequence_length=0)
    joint, of_all = stage.encode(tokens)
    torch.testing.assert_close(joint, prompt)
    torch.testing.assert_close(of_all, pooled)


def test_diffusers_draws_without_being_told_anything_special(pipeline):
    images = pipeline("a cat", num_inference_steps=2, output_type="pt").images
    assert images.shape == (1, 3, 64, 64)
    assert images.isfinite().all()


def test_what_ships_does_not_name_the_folder_it_was_made_in(pretraining):
    files = list(pretraining.out.rglob("*.json"))
    assert len(files) > 8
    assert not [path for path in files if str(pretraining.work) in path.read_text()]


def test_one_heavy_token_stands_for_all_of_the_absent_t5():
    """Rows that see it get what 256 tokens of zeros give, the others what none gives."""
    torch.manual_seed(0)
    mmdit = new_mmdit(24, 24, cells=4, heads=2, layers=3).double()
    with torch.no_grad():
        for parameter in mmdit.parameters():
            parameter.normal_(std=0.2)
    z, text, pooled = torch.randn(2, 16, 4, 4), torch.randn(2, 5, 24), torch.randn(2, 24)
    given = [one.double() for one in (z, pooled, torch.tensor([300.0, 700.0]))]

    def predict(absent, **options):
        tokens = F.pad(text.double(), (0, 0, 0, absent))
        z, pooled, time = given
        return mmdit(z, tokens, pooled, time, **options).sample

    none, all_of_them = predict(0), predict(ABSENT_TOKENS)
    mmdit.set_attn_processor(KeyBiasProcessor())  # type: ignore[arg-type]
    bias = _weight_of_last(torch.tensor([True, False]))
    one = predict(1, joint_attention_kwargs={"key_bias": bias})
    assert (all_of_them - none).abs().max() > 1e-3
    torch.testing.assert_close(one[0], all_of_them[0])
    torch.testing.assert_close(one[1], none[1])


def test_latents_of_a_shifted_autoencoder_are_centered():
    torch.manual_seed(0)
    vae, x = new_vae((8, 8, 8), 4).eval(), held_out(8).images(torch.arange(8))
    with torch.no_grad():
        vae.quant_conv.bias[:4] += 3.0  # type: ignore[union-attr, index]
    set_scaling(vae, x, shift=True)
    z = scaled_latents(vae, x)
    assert float(z.mean()) == pytest.approx(0, abs=1e-4)
    assert float(z.std()) == pytest.approx(1, abs=1e-4)


def test_the_loss_is_that_of_the_velocity_at_logit_normal_times():
    """A network that predicts 0 is off by `eps - z`; the time it is told is `1000 s`."""
    told = []

    class Zero(torch.nn.Module):
        def set_attn_processor(self, processor):
            pass

        def forward(self, hidden_states, timestep, **options):
            told.append(timestep)
            return type("Out", (), {"sample": torch.zeros_like(hidden_states)})

    tokenizer = new_tokenizer(["a cat"])
    encoders = (new_projected_encoder(tokenizer, 32, 2), new_projected_encoder(tokenizer, 32, 2))
    stage = FlowStage(Zero(), encoders, RectifiedFlow(), steps=1, lr=1.0)  # type: ignore[arg-type]
    z = torch.full((256, 16, 2, 2), 0.5)
    tokens = tokenize_prompts(tokenizer, ["a cat"]).expand(256, -1)
    found = stage.loss(FlowBatch(z, tokens), torch.Generator().manual_seed(0))["mse"]
    assert float(found) == pytest.approx(1 + 0.25, rel=0.05)
    logit = torch.logit(told[0] / 1000)
    assert float(logit.mean()) == pytest.approx(0, abs=0.2)
    assert float(logit.std()) == pytest.approx(1, abs=0.2)


def test_the_report_needs_no_clip(pretraining, tmp_path):
    found = report(pretraining.out, tmp_path, n=24, n_t2i=2)
    assert found.clip_top1 is None
    assert 0 < found.vae_psnr < 60
    assert 0 < found.weights_mb < 30
    assert Image.open(tmp_path / "reconstructions.png").size == (12 * 64 * 2, 4 * 64 * 2)


def test_a_compiled_transformer_has_the_gradients_of_an_eager_one():
    """Inductor has given others silently wrong gradients, and `transformer.compile` trains."""
    tokenizer = new_tokenizer(["a cat", "a lion"])
    encoders = tuple(new_projected_encoder(tokenizer, 32, 1) for _ in range(2))
    transformer = new_mmdit(64, 64, 4, 4, heads=1, head_width=16, layers=2)
    for weights in transformer.parameters():
        torch.nn.init.normal_(weights, std=0.1)  # its output is zero at first, and so are gradients
    stage = FlowStage(transformer, encoders, RectifiedFlow(), steps=1, lr=1e-3)
    batch = FlowBatch(torch.randn(2, 4, 4, 4), tokenize_prompts(tokenizer, ["a cat", ""]))

    def gradients():
        stage.zero_grad()
        stage.loss(batch, torch.Generator().manual_seed(0))["mse"].backward()
        return {n: p.grad.clone() for n, p in stage.named_parameters() if p.grad is not None}

    eager = gradients()
    transformer.compile()
    compiled = gradients()
    assert compiled.keys() == eager.keys()
    largest = max(float(value.abs().max()) for value in eager.values())
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-5 * largest)
