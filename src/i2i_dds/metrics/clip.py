"""A CLIP's opinion: likeness of pictures to words and to one another, and of sets of pictures.

Numbers from the pocket CLIP rank edits of Critters. They are not comparable with published ones,
which come from OpenAI's CLIP, AlexNet (LPIPS) and Inception (FID).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from transformers import CLIPModel, CLIPTokenizer

from i2i_dds.checks import is_number
from i2i_dds.errors import UserError
from i2i_dds.pocket import directory
from i2i_dds.reading import expanded, read_object
from i2i_dds.teacher.loading import (
    ATTENTION,
    MARKS,
    TOKENIZER_CONFIG,
    check_config,
    first_line,
    highest_token,
    load_whole,
    refusing_damage,
)

_WANTED = "pocket, or a folder with a CLIP whose weights are safetensors"


class Clip:
    """Both towers of a CLIP, frozen.

    Args:
        model: A CLIPModel.
        tokenizer: Its tokenizer.
        mean, std: What its pictures in [0, 1] are normalized with.
    """

    def __init__(
        self, model: Any, tokenizer: Any, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self.model, self.tokenizer = model.eval().requires_grad_(False), tokenizer
        self._mean = torch.tensor(mean).reshape(1, 3, 1, 1)
        self._std = torch.tensor(std).reshape(1, 3, 1, 1)

    @classmethod
    def load(cls, path: str | Path = "pocket") -> Clip:
        """The pocket CLIP, or that of a folder in transformers' format, weights as safetensors.

        Raises:
            UserError: No whole CLIP is there.
        """
        folder = directory() / "clip" if str(path) == "pocket" else expanded(path)
        if not (folder / "preprocessor_config.json").is_file():
            raise UserError(f"clip: '{folder}' holds no CLIP; give {_WANTED}")
        about = read_object(folder / "preprocessor_config.json", "clip", _WANTED)
        model, tokenizer = _read(folder)
        mean, std = (_channels(about, name, folder) for name in ("image_mean", "image_std"))
        return cls(model, tokenizer, mean, std)

    @torch.no_grad()
    def images(self, x: Tensor) -> Tensor:
        """Unit embeddings (B, D) of pictures x (B, 3, H, W) in [-1, 1]."""
        return F.normalize(self.model.visual_projection(self._tower(x).pooler_output), dim=1)

    @torch.no_grad()
    def texts(self, prompts: Sequence[str]) -> Tensor:
        """Unit embeddings (B, D)."""
        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt",
            max_length=self.model.config.text_config.max_position_embeddings,
        )  # fmt: skip
        pooled = self.model.text_model(input_ids=tokens["input_ids"]).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=1)

    def score(self, x: Tensor, prompts: Sequence[str]) -> Tensor:
        """Cosine of each picture with its prompt, (B,) in [-1, 1]."""
        return (self.images(x) * self.texts(prompts)).sum(1)

    def direction(
        self, x: Tensor, x_src: Tensor, prompts: Sequence[str], prompts_src: Sequence[str]
    ) -> Tensor:
        """Cosine of the pictures' difference with the prompts', (B,) (Gal et al., 2022, eq. 3)."""
        pictures = self.images(x) - self.images(x_src)
        words = self.texts(prompts) - self.texts(prompts_src)
        return F.cosine_similarity(pictures, words, dim=1)

    @torch.no_grad()
    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Perceptual distance of pictures (B, 3, H, W) in [-1, 1], (B,): 0 for equal ones.

        As LPIPS (Zhang et al., 2018) without its learned weights: at every patch and layer the
        features are made unit vectors; squared differences are averaged over patches and layers.
        """
        layers = zip(self._layers(x), self._layers(y), strict=True)
        each = [(a - b).square().sum(2).mean(1) for a, b in layers]
        return torch.stack(each).mean(0)

    def frechet(self, x: Tensor, y: Tensor, rows: int = 64) -> float:
        """Frechet distance between two sets of pictures in the features of the picture tower.

        FID (Heusel et al., 2017) with another network; torchmetrics computes it.

        Args:
            x: Pictures (N, 3, H, W) in [-1, 1], more than the features' dimension.
            y: The set they are compared with, (M, 3, H, W).
            rows: Pictures of a forward pass.
        """
        metric = FrechetInceptionDistance(_Features(self), normalize=False)
        metric.set_dtype(torch.float64)
        for pictures, real in ((y, True), (x, False)):
            for part in ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).split(rows):
                metric.update(part, real=real)
        return metric.compute().item()

    def _layers(self, x: Tensor) -> list[Tensor]:
        hidden = self._tower(x, output_hidden_states=True).hidden_states[1:]
        return [F.normalize(layer[:, 1:], dim=2) for layer in hidden]  # without the class token

    def _tower(self, x: Tensor, **options: Any) -> Any:
        side = self.model.config.vision_config.image_size
        x = (x.float().cpu() + 1) / 2
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
        return self.model.vision_model(pixel_values=(x - self._mean) / self._std, **options)


def _read(folder: Path) -> tuple[Any, Any]:
    """Both towers in float32, and the tokenizer.

    Raises:
        UserError: One of them is missing, damaged or not whole.
    """
    called, advice = f"clip: '{folder}'", f"give {_WANTED}"
    try:
        options: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True}
        options["attn_implementation"] = ATTENTION
        model = load_whole(CLIPModel, str(folder), called, advice, **options)
        check_config(str(folder), called, advice, TOKENIZER_CONFIG)
        with refusing_damage(called, advice):
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{called} is not complete ({first_line(error)}); {advice}") from error
    known = model.config.text_config.vocab_size
    if len(tokenizer) > MARKS and highest_token(tokenizer) >= known:
        raise UserError(f"{called} has a tokenizer of more tokens than its text tower; {advice}")
    if len(tokenizer) <= MARKS:  # what transformers makes, without a word, of absent files
        raise UserError(f"{called} is not complete (no tokenizer files); {advice}")
    if tokenizer.pad_token is None:
        raise UserError(f"{called} has a tokenizer without a token to pad with; {advice}")
    return model, tokenizer


def _channels(about: dict[str, Any], name: str, folder: Path) -> list[float]:
    """Three numbers of a preprocessor's config, none of them 0 where they divide."""
    values = about.get(name)
    if (
        not isinstance(values, list)
        or len(values) != 3
        or not all(map(is_number, values))
        or (name == "image_std" and 0 in values)
    ):
        raise UserError(f"clip: '{folder}' has {name} {values!r:.60}; give {_WANTED}")
    return values


class _Features(nn.Module):
    """What torchmetrics asks: features of pictures of 8 bits."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip
        self.num_features = clip.model.config.vision_config.hidden_size

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.clip._tower(x.float() / 127.5 - 1).pooler_output
