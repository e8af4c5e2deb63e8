"""The stages from scenes to shipped weights; each resumes where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from pytorch_lightning.callbacks import EMAWeightAveraging
from safetensors.torch import load_file, save_file
from torch import Tensor

from i2i_dds.critters import ATTRIBUTES, Scene, render, scenes
from i2i_dds.critters.scene import Split
from i2i_dds.data.shards import Shards, write_shards
from i2i_dds.data.sources import captioned_scenes, critters_samples
from i2i_dds.diffusion.process import VariancePreserving
from i2i_dds.metrics.judge import Judge
from i2i_dds.pretrain.clip import CLIPStage, PairBatch, new_clip, new_image_processor
from i2i_dds.pretrain.corpus import Corpus
from i2i_dds.pretrain.judge import JudgeStage, LabeledBatch
from i2i_dds.pretrain.stage import fit
from i2i_dds.pretrain.text import new_text_encoder, new_tokenizer
from i2i_dds.pretrain.unet import CaptionTokens, NoisyBatch, UNetStage, new_unet
from i2i_dds.pretrain.vae import VAEStage, new_vae, set_scaling_factor
from i2i_dds.runs import replacing, replacing_folder

STAGES = ("vae", "unet", "judge", "clip")


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a stage learns.

    Attributes:
        n: scenes it learns from, the first of the training split.
        steps: optimizer steps.
        batch_size: rows a step.
        lr: peak learning rate.
        precision: Lightning's: 32-true, bf16-mixed.
    """

    n: int
    steps: int
    batch_size: int
    lr: float
    precision: str = "32-true"


@dataclass
class Pretraining:
    """All stages, in one working folder.

    Attributes:
        work: shards, latents, checkpoints and logs.
        out: receives `teacher/`, `clip/` and `judge/`, each whole or not at all.
        recipes: one a stage.
        seed: of the networks' initial weights; the scenes are those of world 0.
    """

    work: Path
    out: Path
    recipes: Mapping[str, Recipe]
    seed: int = 0
    _corpus: Corpus | None = field(default=None, init=False, repr=False)

    def run(self, stage: str) -> None:
        """Runs one of `STAGES`; the UNet needs the autoencoder first."""
        torch.manual_seed(self.seed)
        getattr(self, f"_{stage}")(self.recipes[stage])

    def corpus(self, n: int) -> Corpus:
        """The first `n` training scenes with their pictures, drawn into shards once."""
        if self._corpus is None:
            most = max(recipe.n for recipe in self.recipes.values())
            folder = self.work / f"shards-{most}"
            if not folder.exists():
                samples = critters_samples(captioned_scenes("train", most))
                write_shards(samples, folder, samples_per_shard=4096)
            pixels, found = [], []
            for sample in Shards(folder):
                pixels.append(torch.from_numpy(np.array(sample["image"])))
                found.append(Scene.from_dict(sample["scene"] or {}))
            self._corpus = Corpus(torch.stack(pixels).permute(0, 3, 1, 2).contiguous(), found)
        return Corpus(self._corpus.pixels[:n], self._corpus.scenes[:n])

    def _vae(self, recipe: Recipe) -> None:
        corpus = self.corpus(recipe.n)
        stage = VAEStage(new_vae(), steps=recipe.steps, lr=recipe.lr)
        self._fit("vae", stage, recipe, lambda index, step: corpus.images(index))
        set_scaling_factor(stage.vae, corpus.images(torch.arange(min(1024, len(corpus)))))
        self._save("vae", stage.vae.save_pretrained)

    def _unet(self, recipe: Recipe) -> None:
        corpus = self.corpus(recipe.n)
        vae = AutoencoderKL.from_pretrained(self.work / "vae" / "final").eval()
        vae.register_to_config(_name_or_path="")  # what ships says nothing of this machine
        latents = self._latents(vae, corpus)
        captions = [corpus.captions(range(len(corpus)), seed) for seed in range(4)]
        tokenizer = new_tokenizer(captions[0])
        tokens = CaptionTokens(tokenizer, captions)
        text_encoder = new_text_encoder(tokenizer)
        unet = new_unet(text_encoder.config.hidden_size)
        process = VariancePreserving.scaled_linear()
        stage = UNetStage(unet, text_encoder, process, steps=recipe.steps, lr=recipe.lr)

        def fetch(index: Tensor, step: int) -> NoisyBatch:
            return NoisyBatch(latents[index].float(), tokens(index, step))

        average = EMAWeightAveraging(decay=0.999, update_starting_at_step=1000)
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

    def _judge(self, recipe: Recipe) -> None:
        corpus = self.corpus(recipe.n)
        labels = corpus.labels()
        stage = JudgeStage(Judge(ATTRIBUTES), steps=recipe.steps, lr=recipe.lr)

        def fetch(index: Tensor, step: int) -> LabeledBatch:
            return LabeledBatch(
                corpus.images(index), {name: label[index] for name, label in labels.items()}
            )

        self._fit("judge", stage, recipe, fetch)
        self._ship("judge", stage.judge.half().save_pretrained)

    def _clip(self, recipe: Recipe) -> None:
        corpus = self.corpus(recipe.n)
        captions = [corpus.captions(range(len(corpus)), seed) for seed in range(4, 8)]
        tokenizer = new_tokenizer(captions[0])
        tokens = CaptionTokens(tokenizer, captions, drop=0.0)
        stage = CLIPStage(new_clip(tokenizer), steps=recipe.steps, lr=recipe.lr)

        def fetch(index: Tensor, step: int) -> PairBatch:
            return PairBatch(corpus.images(index), tokens(index, step))

        self._fit("clip", stage, recipe, fetch)

        def save(folder: Path) -> None:
            stage.clip.half().save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            new_image_processor().save_pretrained(folder)

        self._ship("clip", save)

    def _fit(
        self,
        name: str,
        stage: Any,
        recipe: Recipe,
        fetch: Any,
        callbacks: Sequence[Any] = (),
    ) -> None:
        fit(
            stage,
            n=recipe.n,
            batch_size=recipe.batch_size,
            fetch=fetch,
            folder=self.work / name,
            callbacks=callbacks,
            precision=recipe.precision,
        )
        stage.cpu().eval()

    @torch.no_grad()
    def _latents(self, vae: AutoencoderKL, corpus: Corpus) -> Tensor:
        """Scaled posterior means of all pictures, float16 (n, 4, h, w), computed once."""
        path = self.work / "vae" / f"latents-{len(corpus)}.safetensors"
        if not path.exists():
            parts = []
            for index in torch.arange(len(corpus)).split(256):
                mean = vae.encode(corpus.images(index)).latent_dist.mean  # type: ignore[union-attr]
                parts.append((mean * vae.config["scaling_factor"]).half().contiguous())
            with replacing(path) as temporary:
                save_file({"latents": torch.cat(parts)}, temporary)
        return load_file(path)["latents"]

    def _save(self, name: str, save: Any) -> None:
        with replacing_folder(self.work / name / "final") as partial:
            save(partial)

    def _ship(self, name: str, save: Any) -> None:
        with replacing_folder(self.out / name) as partial:
            save(partial)


def held_out(n: int, split: Split = "val") -> Corpus:
    """The first `n` scenes of a split with their pictures."""
    drawn = scenes(split, n)
    pixels = torch.stack([torch.from_numpy(np.array(render(scene))) for scene in drawn])
    return Corpus(pixels.permute(0, 3, 1, 2).contiguous(), drawn)


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
