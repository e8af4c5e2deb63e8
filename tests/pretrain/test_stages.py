"""The stages, from scenes to a folder that diffusers opens."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from i2i_dds.critters import ATTRIBUTES, SPECIES, caption, scenes
from i2i_dds.diffusion.process import VariancePreserving
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.metrics.judge import Judge
from i2i_dds.pretrain.corpus import batches
from i2i_dds.pretrain.judge import JudgeStage, LabeledBatch
from i2i_dds.pretrain.sd_pocket import StableDiffusionPocket
from i2i_dds.pretrain.stage import fit
from i2i_dds.pretrain.stages import Recipe, held_out
from i2i_dds.pretrain.text import MAX_TOKENS, new_tokenizer
from i2i_dds.pretrain.unet import NoisyBatch, UNetStage
from i2i_dds.pretrain.vae import new_vae
from i2i_dds.teacher.sample import sample
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    recipes = {
        name: Recipe(n=24, steps=2, batch_size=4, lr=1e-3)
        for name in ("vae", "unet", "judge", "clip")
    }
    made = StableDiffusionPocket(folder, folder / "pocket", recipes)
    for stage in recipes:
        made.run(stage)
    return made


def test_all_stages_ship_their_models(pretraining):
    assert sorted(p.name for p in pretraining.out.iterdir()) == ["clip", "judge", "teacher"]
    weights = list(pretraining.out.rglob("*.safetensors"))
    assert len(weights) == 5
    assert not list(pretraining.out.rglob("*.bin"))


def test_a_stage_that_is_done_is_not_trained_again(pretraining):
    before = (pretraining.work / "judge" / "last.ckpt").read_bytes()
    pretraining.run("judge")
    assert (pretraining.work / "judge" / "last.ckpt").read_bytes() == before


def test_diffusers_draws_what_our_adapter_draws(pretraining):
    """The same folder through `StableDiffusionPipeline` and through the teacher."""
    folder, prompt = str(pretraining.out / "teacher"), "a smiling cat in a meadow"
    pipeline: Any = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        prompt,
        latents=randn(item_generators(0, [0]), (4, 16, 16)),
        num_inference_steps=6,
        guidance_scale=4.0,
        output_type="pt",
    ).images
    teacher = StableDiffusionTeacher.load(folder, device="cpu")
    ours = sample(teacher, [prompt], item_generators(0, [0]), steps=6, guidance_scale=4.0)
    assert (theirs * 2 - 1 - ours).abs().max() < 1e-3


def test_stopped_and_resumed_is_the_same_as_never_stopped(tmp_path):
    corpus = held_out(16)
    labels = corpus.labels()

    def fetch(index, step):
        return LabeledBatch(corpus.images(index), {n: v[index] for n, v in labels.items()})

    def stage(steps):
        torch.manual_seed(0)
        made = JudgeStage(Judge(ATTRIBUTES, width=8), steps=6, lr=1e-3)
        made.steps = steps
        made.configure_optimizers = lambda: torch.optim.AdamW(made.parameters(), 1e-3)
        return made

    whole = stage(6)
    fit(whole, 16, 4, fetch, tmp_path / "whole")
    fit(stage(3), 16, 4, fetch, tmp_path / "parts")
    resumed = stage(6)
    fit(resumed, 16, 4, fetch, tmp_path / "parts")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_batches_start_anywhere_and_cover_an_epoch():
    whole = [b.tolist() for b, _ in zip(batches(10, 3, seed=1), range(9), strict=False)]
    later = [b.tolist() for b, _ in zip(batches(10, 3, seed=1, start=4), range(5), strict=False)]
    assert later == whole[4:]
    assert len({i for b in whole[:3] for i in b}) == 9


def test_each_word_of_a_caption_is_one_token():
    captions = [caption(s, np.random.default_rng(i)) for i, s in enumerate(scenes("train", 2000))]
    tokenizer = new_tokenizer(captions)
    for species in SPECIES:
        assert tokenizer.tokenize(species) == [f"{species}</w>"]
    assert max(len(tokenizer(c)["input_ids"]) for c in captions) <= MAX_TOKENS
    unseen = tokenizer("a zebra")["input_ids"]
    assert tokenizer.decode(unseen, skip_special_tokens=True) == "a zebra"


def test_the_same_captions_make_the_same_tokenizer():
    captions = [caption(s, np.random.default_rng(i)) for i, s in enumerate(scenes("train", 24))]
    found = [new_tokenizer(captions) for _ in range(20)]  # one was like another in one of three
    assert all(one.get_vocab() == found[0].get_vocab() for one in found)


def test_the_posterior_starts_narrow():
    encoded: Any = new_vae().encode(torch.zeros(1, 3, 64, 64))
    posterior = encoded.latent_dist
    assert posterior.logvar.mean() < -4


def test_min_snr_caps_the_weight_of_easy_steps():
    """With a network that predicts 0, each row's error is eps^2 and its weight min(snr, g)/snr."""

    class Zero(torch.nn.Module):
        def forward(self, z, t, encoder_hidden_states):
            return type("Out", (), {"sample": torch.zeros_like(z)})

    class Text(torch.nn.Module):
        def forward(self, tokens):
            return type("Out", (), {"last_hidden_state": torch.zeros(len(tokens), 1, 8)})

    schedule = VariancePreserving.scaled_linear()
    stage = UNetStage(Zero(), Text(), schedule, snr_cap=5.0, steps=1, lr=1.0)  # type: ignore[arg-type]
    batch = NoisyBatch(torch.zeros(8, 4, 2, 2), torch.zeros(8, 3, dtype=torch.long))
    found = stage.loss(batch, torch.Generator().manual_seed(0))["mse"]
    generator = torch.Generator().manual_seed(0)
    t = torch.randint(0, 1000, (8,), generator=generator)
    eps = torch.randn((8, 4, 2, 2), generator=generator)
    snr = schedule.alphas_cumprod[t] / (1 - schedule.alphas_cumprod[t])
    by_hand = [
        min(float(s), 5) / float(s) * float((e**2).mean()) for s, e in zip(snr, eps, strict=True)
    ]
    assert float(found) == pytest.approx(sum(by_hand) / 8, rel=1e-5)


def test_what_ships_does_not_name_the_folder_it_was_made_in(pretraining):
    files = [path for path in pretraining.out.rglob("*.json")]
    assert len(files) > 5
    assert not [path for path in files if str(pretraining.work) in path.read_text()]


def test_tokenizer_files_are_what_clip_expects(pretraining):
    folder = pretraining.out / "teacher" / "tokenizer"
    assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == 32
