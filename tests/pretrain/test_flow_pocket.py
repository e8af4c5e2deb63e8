"""The stages of the second pocket, to a folder that diffusers opens."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import StableDiffusion3Pipeline

from i2i_dds.pretrain.flow_pocket import FlowPocket
from i2i_dds.pretrain.mmdit import ABSENT_TOKENS, KeyBiasProcessor, _weight_of_last, new_mmdit
from i2i_dds.pretrain.stages import Recipe, held_out
from i2i_dds.pretrain.vae import new_vae, scaled_latents, set_scaling


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
