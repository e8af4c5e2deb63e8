"""The first pocket, of Stable Diffusion's make: a UNet that predicts noise, and a CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from torch import Tensor

from i2i_dds.critters import scenes
from i2i_dds.diffusion.process import VariancePreserving
from i2i_dds.pretrain.clip import CLIPStage, PairBatch, new_clip, new_image_processor
from i2i_dds.pretrain.corpus import captions
from i2i_dds.pretrain.stages import Pretraining, Recipe
from i2i_dds.pretrain.text import new_text_encoder, new_tokenizer
from i2i_dds.pretrain.unet import CaptionTokens, NoisyBatch, UNetStage, new_unet
from i2i_dds.weight_average import WeightAverage


class StableDiffusionPocket(Pretraining):
    """Makes `teacher/`, `clip/` and `judge/`."""

    stages = ("vae", "unet", "judge", "clip")
    shifted = False
    shrunken = 0.0

    def _unet(self, recipe: Recipe) -> None:
        vae = self._trained_vae()
        latents = self._latents(vae, recipe.n)
        shown = scenes("train", recipe.n)
        words = [captions(shown, seed) for seed in range(4)]
        tokenizer = new_tokenizer(words[0])
        tokens = CaptionTokens(tokenizer, words)
        text_encoder = new_text_encoder(tokenizer)
        unet = new_unet(text_encoder.config.hidden_size)
        process = VariancePreserving.scaled_linear()
        stage = UNetStage(unet, text_encoder, process, steps=recipe.steps, lr=recipe.lr)

        def fetch(index: Tensor, step: int) -> NoisyBatch:
            return NoisyBatch(latents[index].float(), tokens(index, step))

        average = WeightAverage(decay=0.999, start=1000)
        self._fit("unet", stage, recipe, fetch, [average])
        parts: dict[str, Any] = {
            "vae": vae,
            "text_encoder": stage.text_encoder,
            "tokenizer": tokenizer,
            "unet": stage.unet,
            "scheduler": _sampler(),
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
        pipeline = StableDiffusionPipeline(**parts)
        pipeline.to(torch.float16)
        self._ship("teacher", pipeline.save_pretrained)

    def _clip(self, recipe: Recipe) -> None:
        corpus = self.corpus(recipe.n)
        words = [captions(corpus.scenes, seed) for seed in range(4, 8)]
        tokenizer = new_tokenizer(words[0])
        tokens = CaptionTokens(tokenizer, words, drop=0.0)
        stage = CLIPStage(new_clip(tokenizer), steps=recipe.steps, lr=recipe.lr)

        def fetch(index: Tensor, step: int) -> PairBatch:
            return PairBatch(corpus.images(index), tokens(index, step))

        self._fit("clip", stage, recipe, fetch)

        def save(folder: Path) -> None:
            stage.clip.half().save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            new_image_processor().save_pretrained(folder)

        self._ship("clip", save)


def _sampler() -> DDIMScheduler:
    """Stable Diffusion's DDIM, but ending at the clean latent as our own sampler does."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )
