"""The second pocket, of Stable Diffusion 3's make: an MMDiT that predicts a flow's velocity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
from torch import Tensor

from i2i_dds.critters import scenes
from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.pretrain.corpus import captions
from i2i_dds.pretrain.mmdit import FlowBatch, FlowStage, new_mmdit
from i2i_dds.pretrain.stages import Pretraining, Recipe
from i2i_dds.pretrain.text import new_projected_encoder, new_tokenizer
from i2i_dds.pretrain.unet import CaptionTokens
from i2i_dds.pretrain.vae import DecoderStage, LatentBatch, unscaled
from i2i_dds.runs import write_json
from i2i_dds.teacher.families import INDEX, read_index
from i2i_dds.teacher.sd3_checkpoint import T5_TOKENS
from i2i_dds.weight_average import WeightAverage

_ENCODERS = ((128, 3), (64, 2))
"""Width and layers of both text encoders; the tokens' embeddings leave out the last layer."""


class FlowPocket(Pretraining):
    """Makes `teacher/` and `judge/`."""

    stages = ("vae", "decoder", "transformer", "judge")
    shifted = True
    shrunken = 0.1

    def _decoder(self, recipe: Recipe) -> None:
        """More of the autoencoder's second half; latents, and who learns them, do not change."""
        vae = self._trained_vae()
        corpus, latents = self.corpus(recipe.n), self._latents(vae, recipe.n)
        stage = DecoderStage(vae, steps=recipe.steps, lr=recipe.lr)

        def fetch(index: Tensor, step: int) -> LatentBatch:
            return LatentBatch(unscaled(vae, latents[index].float()), corpus.images(index))

        average = WeightAverage(decay=0.998, start=recipe.steps // 4)
        self._fit("decoder", stage, recipe, fetch, [average])
        self._save("decoder", vae.half().save_pretrained)

    def _transformer(self, recipe: Recipe) -> None:
        vae = self._trained_vae("decoder")
        latents = self._latents(vae, recipe.n)
        shown = scenes("train", recipe.n)
        words = [captions(shown, seed) for seed in range(4)]
        tokenizer = new_tokenizer(words[0])
        tokens = CaptionTokens(tokenizer, words)
        first, second = (new_projected_encoder(tokenizer, *shape) for shape in _ENCODERS)
        width = sum(width for width, _ in _ENCODERS)
        _, channels, cells, _ = latents.shape
        transformer = new_mmdit(width, width, channels, cells)
        process = RectifiedFlow()
        stage = FlowStage(transformer, (first, second), process, steps=recipe.steps, lr=recipe.lr)

        if recipe.compile:
            transformer.compile()

        def fetch(index: Tensor, step: int) -> FlowBatch:
            return FlowBatch(latents[index].float(), tokens(index, step))

        average = WeightAverage(decay=0.999, start=1000)
        self._fit("transformer", stage, recipe, fetch, [average])
        parts: dict[str, Any] = {
            "vae": vae,
            "text_encoder": stage.text_encoder,
            "text_encoder_2": stage.text_encoder_2,
            "text_encoder_3": None,
            "tokenizer": tokenizer,
            "tokenizer_2": tokenizer,
            "tokenizer_3": None,
            "transformer": stage.transformer,
            "scheduler": FlowMatchEulerDiscreteScheduler(),
        }
        pipeline = StableDiffusion3Pipeline(**parts)
        pipeline.to(torch.float16)

        def save(folder: Path) -> None:
            pipeline.save_pretrained(folder)
            index = folder / INDEX
            write_json(index, {**read_index(index), T5_TOKENS: 0})

        self._ship("teacher", save)
