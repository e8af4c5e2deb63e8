"""The stages that both pockets share, from scenes on; each resumes where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from i2i_dds.critters import ATTRIBUTES, Scene, render, scenes
from i2i_dds.critters.scene import Split
from i2i_dds.data.shards import Shards, write_shards
from i2i_dds.data.sources import captioned_scenes, critters_samples
from i2i_dds.metrics.judge import Judge
from i2i_dds.pretrain.corpus import Corpus
from i2i_dds.pretrain.judge import JudgeStage, LabeledBatch
from i2i_dds.pretrain.stage import fit
from i2i_dds.pretrain.vae import VAEStage, new_vae, scaled_latents, set_scaling
from i2i_dds.runs import replacing, replacing_folder


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a stage learns.

    Attributes:
        n: scenes it learns from, the first of the training split.
        steps: optimizer steps.
        batch_size: rows a step.
        lr: peak learning rate.
        precision: Lightning's: 32-true, bf16-mixed.
        compile: whether the network is compiled, where a stage offers it.
    """

    n: int
    steps: int
    batch_size: int
    lr: float
    precision: str = "32-true"
    compile: bool = False


@dataclass
class Pretraining:
    """All stages of one pocket, in one working folder.

    Attributes:
        work: shards, latents, checkpoints and logs.
        out: receives `teacher/` and the rest, each whole or not at all.
        recipes: one a stage.
        seed: of the networks' initial weights; the scenes are those of world 0.
        size: side of the pictures, in pixels.
        channels: the autoencoder's, by level.
        latent_channels: channels of its latents.
    """

    stages: ClassVar[tuple[str, ...]]
    """In the order in which they are run."""
    shifted: ClassVar[bool]
    """Whether latents are centered as well as scaled."""
    shrunken: ClassVar[float]
    """Share of the autoencoder's steps that decode shrunken latents."""

    work: Path
    out: Path
    recipes: Mapping[str, Recipe]
    seed: int = 0
    size: int = 64
    channels: Sequence[int] = (16, 48, 96)
    latent_channels: int = 4
    _corpus: Corpus | None = field(default=None, init=False, repr=False)

    def run(self, stage: str) -> None:
        """Runs one of `stages`; the denoiser needs the autoencoder first."""
        torch.manual_seed(self.seed)
        getattr(self, f"_{stage}")(self.recipes[stage])

    def corpus(self, n: int) -> Corpus:
        """The first `n` training scenes with their pictures, drawn into shards once."""
        if self._corpus is None:
            most = max(recipe.n for recipe in self.recipes.values())
            folder = self.work / f"shards-{most}"
            if not folder.exists():
                samples = critters_samples(captioned_scenes("train", most), self.size)
                write_shards(samples, folder, samples_per_shard=4096)
            self._corpus = _read(folder, most)
        return Corpus(self._corpus.pixels[:n], self._corpus.scenes[:n])

    def _vae(self, recipe: Recipe) -> None:
        corpus = self.corpus(recipe.n)
        vae = new_vae(self.channels, self.latent_channels, self.size)
        stage = VAEStage(vae, shrunken=self.shrunken, steps=recipe.steps, lr=recipe.lr)
        self._fit("vae", stage, recipe, lambda index, step: corpus.images(index))
        set_scaling(vae, corpus.images(torch.arange(min(1024, len(corpus)))), self.shifted)
        self._save("vae", vae.half().save_pretrained)  # as it ships

    def _judge(self, recipe: Recipe) -> None:
        corpus = self.corpus(recipe.n)
        labels = corpus.labels()
        judge = Judge(ATTRIBUTES, size=self.size)
        stage = JudgeStage(judge, steps=recipe.steps, lr=recipe.lr)

        def fetch(index: Tensor, step: int) -> LabeledBatch:
            return LabeledBatch(
                corpus.images(index), {name: label[index] for name, label in labels.items()}
            )

        self._fit("judge", stage, recipe, fetch)
        self._ship("judge", judge.half().save_pretrained)

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

    def _trained_vae(self, stage: str = "vae") -> AutoencoderKL:
        folder = self.work / stage / "final"
        vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).eval()
        vae.register_to_config(_name_or_path="")  # what ships says nothing of this machine
        return vae

    @torch.no_grad()
    def _latents(self, vae: AutoencoderKL, n: int) -> Tensor:
        """Scaled posterior means of the first n pictures, float16 (n, c, h, w), computed once."""
        path = self.work / "vae" / f"latents-{n}.safetensors"
        if not path.exists():
            corpus = self.corpus(n)
            parts = [
                scaled_latents(vae, corpus.images(index)).half()
                for index in torch.arange(n).split(64)
            ]
            with replacing(path) as temporary:
                save_file({"latents": torch.cat(parts).contiguous()}, temporary)
        return load_file(path)["latents"]

    def _save(self, name: str, save: Any) -> None:
        with replacing_folder(self.work / name / "final") as partial:
            save(partial)

    def _ship(self, name: str, save: Any) -> None:
        with replacing_folder(self.out / name) as partial:
            save(partial)


def held_out(n: int, split: Split = "val", size: int = 64) -> Corpus:
    """The first `n` scenes of a split with their pictures of `size` pixels a side."""
    drawn = scenes(split, n)
    pixels = torch.stack([torch.from_numpy(np.array(render(scene, size))) for scene in drawn])
    return Corpus(pixels.permute(0, 3, 1, 2).contiguous(), drawn)


def _read(folder: Path, n: int) -> Corpus:
    """The n pictures of a folder of shards; no more than one copy of them is held at a time."""
    pixels, found = torch.empty(0), []
    for i, sample in enumerate(Shards(folder)):
        picture = torch.from_numpy(np.array(sample["image"])).permute(2, 0, 1)
        if i == 0:
            pixels = torch.empty((n, *picture.shape), dtype=torch.uint8)
        pixels[i] = picture
        found.append(Scene.from_dict(sample["scene"] or {}))
    return Corpus(pixels, found)
