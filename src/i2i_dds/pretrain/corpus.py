"""Critters held in memory: pictures, captions and attribute labels, drawn once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from i2i_dds.critters import ATTRIBUTES, Scene, caption


@dataclass(frozen=True)
class Corpus:
    """Pictures of many scenes.

    Attributes:
        pixels: uint8, shape (n, 3, side, side).
        scenes: what each shows.
    """

    pixels: Tensor
    scenes: Sequence[Scene]

    def __len__(self) -> int:
        return len(self.scenes)

    def images(self, index: Tensor) -> Tensor:
        """Pictures in [-1, 1], shape (len(index), 3, side, side)."""
        return self.pixels[index].float() / 127.5 - 1

    def labels(self) -> dict[str, Tensor]:
        """Class numbers of every categorical attribute, each of shape (n,)."""
        return {
            name: torch.tensor([values.index(getattr(s, name)) for s in self.scenes])
            for name, values in ATTRIBUTES.items()
        }


def captions(scenes: Sequence[Scene], seed: int) -> list[str]:
    """One caption a scene; the words depend on `(seed, its place)`."""
    return [caption(scene, np.random.default_rng([seed, i])) for i, scene in enumerate(scenes)]


def batches(n: int, batch_size: int, seed: int, start: int = 0) -> Iterator[Tensor]:
    """Endless batches of indices; batch number `k` depends on `(n, batch_size, seed, k)` only.

    Every epoch is a new permutation, its incomplete last batch left out.

    Args:
        n: size of the set.
        batch_size: rows a batch.
        seed: of the permutations.
        start: number of the first batch, for resuming.
    """
    per_epoch = n // batch_size
    step = start
    while True:
        epoch, first = divmod(step, per_epoch)
        generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
        order = torch.randperm(n, generator=generator)
        for k in range(first, per_epoch):
            yield order[k * batch_size : (k + 1) * batch_size]
            step += 1
