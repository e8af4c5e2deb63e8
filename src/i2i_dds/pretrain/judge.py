"""Training the judge: a small convolutional classifier of every attribute of a scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.metrics.judge import Judge
from i2i_dds.pretrain.stage import Stage


class LabeledBatch(NamedTuple):
    """Pictures (batch, 3, side, side) in [-1, 1] and class numbers (batch,) of each attribute."""

    images: Tensor
    labels: Mapping[str, Tensor]


class JudgeStage(Stage):
    """Cross-entropy over all attributes, on pictures degraded as a decoder degrades them."""

    def __init__(self, judge: Judge, **stage: Any) -> None:
        super().__init__(**stage)
        self.judge = judge

    def loss(self, batch: LabeledBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """One term an attribute; a sleeper's eye color cannot be seen and does not count."""
        logits = self.judge(degraded(batch.images, generator))
        asleep = self.judge.attributes["expression"].index("sleepy")
        terms = {}
        for name, label in batch.labels.items():
            error = F.cross_entropy(logits[name], label, reduction="none")
            if name == "eyes":
                error = error * (batch.labels["expression"] != asleep)
            terms[name] = error.mean()
        return terms


def degraded(x: Tensor, generator: torch.Generator) -> Tensor:
    """Blurs and adds noise to about half of the pictures (batch, 3, side, side)."""
    n = len(x)

    def draw() -> Tensor:
        return torch.rand((n, 1, 1, 1), generator=generator).to(x)

    kernel = torch.tensor([1.0, 2.0, 1.0]).to(x)
    blur = (kernel[:, None] * kernel[None, :] / 16).expand(3, 1, 3, 3)
    soft = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), blur, groups=3).to(x)
    x = torch.lerp(x, soft, draw() * (draw() < 0.5))
    noise = torch.randn(x.shape, generator=generator).to(x)
    return x + 0.12 * draw() * (draw() < 0.5) * noise
