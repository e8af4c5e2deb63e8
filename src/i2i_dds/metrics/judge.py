"""The judge: an independent classifier that says what a Critters picture shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from torch import Tensor, nn

from i2i_dds.teacher.loading import load_whole


class Judge(ModelMixin, ConfigMixin):
    """A small convolutional network with one linear head an attribute.

    Saved and loaded by `save_pretrained` and `from_pretrained`, as diffusers' models are.

    Args:
        attributes: values of each attribute, in the order of the classes.
        width: channels after the first convolution; doubled at each of the next three halvings.
        size: side of the pictures that it sees, a power of two from 32 on.
    """

    @register_to_config
    def __init__(
        self, attributes: Mapping[str, Sequence[str]], width: int = 24, size: int = 64
    ) -> None:
        super().__init__()
        self.attributes = {name: tuple(values) for name, values in attributes.items()}
        layers: list[nn.Module] = [_conv(3, width, stride=2)]
        wide = width
        for level in range(int(math.log2(size)) - 3):  # down to 4 x 4
            narrow, wide = (width * 2 ** min(k, 3) for k in (level, level + 1))
            layers += [_conv(narrow, narrow), _conv(narrow, wide, stride=2)]
        layers += [_conv(wide, wide)]
        self.body = nn.Sequential(*layers)
        features = wide * 16
        self.heads = nn.ModuleDict(
            {name: nn.Linear(features, len(values)) for name, values in self.attributes.items()}
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits (batch, classes) of each attribute, for x (batch, 3, size, size) in [-1, 1]."""
        features = self.body(x).flatten(1)
        return {name: head(features) for name, head in self.heads.items()}

    @torch.no_grad()
    def predict(self, x: Tensor, batch_size: int = 64) -> dict[str, list[str]]:
        """The value of each attribute in each picture.

        Args:
            x: pictures (batch, 3, side, side) in [-1, 1]; other sides than its own are resized.
            batch_size: rows a forward pass.
        """
        own = (self.config["size"],) * 2
        if x.shape[-2:] != own:
            x = nn.functional.interpolate(x, own, mode="area")
        answers: dict[str, list[str]] = {name: [] for name in self.attributes}
        for part in x.to(self.device, torch.float32).split(batch_size):
            for name, logits in self(part).items():
                answers[name] += [self.attributes[name][i] for i in logits.argmax(1).tolist()]
        return answers

    @classmethod
    def load(cls, folder: str | Path) -> Judge:
        """The judge saved in `folder`, in float32 and ready to judge.

        Raises:
            UserError: The folder's weights are damaged, or not all that its config asks for.
            OSError, SafetensorError: Something is missing.
        """
        options = {"torch_dtype": torch.float32, "local_files_only": True}
        return load_whole(cls, str(folder), f"judge: '{folder}'", **options).eval()


def _conv(narrow: int, wide: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(narrow, wide, 3, stride, 1, bias=False),
        nn.GroupNorm(8, wide),
        nn.SiLU(),
    )
