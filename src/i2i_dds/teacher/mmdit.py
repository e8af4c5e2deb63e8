"""What Stable Diffusion 3, FLUX and AuraFlow have in common: a transformer of two joint streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.checks import choice, require
from i2i_dds.errors import UserError
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.hooks import outputs_of
from i2i_dds.teacher.latent import LatentTeacher


class MMDiTTeacher(LatentTeacher):
    """A latent teacher whose network attends to the picture's and the prompt's tokens together.

    Attributes:
        blocks_name: Of the network's list of blocks with two streams.
    """

    blocks_name = "transformer_blocks"

    @property
    def transformer(self) -> Any:
        """The network that predicts, an MMDiT."""
        return self._network

    def self_attention(
        self, z_t: Tensor, t: Tensor, text: Conditioning, blocks: str = "all"
    ) -> list[Tensor]:
        """What joint attention gives out for the picture's tokens; see the interface.

        Those of the blocks with two streams. There is no decoder: "up" is their later half.
        """
        require("blocks", blocks, choice("all", "up"))
        joint: Sequence[Any] = getattr(self.transformer, self.blocks_name)
        layers = [block.attn for block in joint[len(joint) // 2 if blocks == "up" else 0 :]]
        self.nfe += len(z_t)
        with outputs_of(layers) as outputs:
            self._forward(self._network, z_t, t, text)
        return [output[0] for output in outputs]

    @property
    def feature_blocks(self) -> int:
        """The blocks with two streams."""
        return len(getattr(self.transformer, self.blocks_name))

    @property
    def feature_block(self) -> int:
        """The one in the middle."""
        return self.feature_blocks // 2

    @torch.no_grad()
    def features(self, z_t: Tensor, t: Tensor, text: Conditioning, block: int) -> Tensor:
        """The picture's tokens after a block, (B, C', h', w'), one a patch; see the interface."""
        with outputs_of([getattr(self.transformer, self.blocks_name)[block]]) as outputs:
            self.noise_with_graph(z_t, t, text)
        _, tokens = outputs[0]
        rows, columns = (-(-side // self.patch) for side in z_t.shape[-2:])
        return tokens.transpose(1, 2).unflatten(2, (rows, columns))

    @property
    def patch(self) -> int:
        """Cells of a latent on a side of what one token stands for."""
        return self.transformer.config["patch_size"]

    def _check_places(self, z_t: Tensor, most: int) -> None:
        """Refuses pictures for which the network has no places.

        Args:
            z_t: (B, C, h, w).
            most: Cells of a side.

        Raises:
            UserError: A side is longer.
        """
        if max(z_t.shape[-2:]) > most:
            height, width, side = (n * self.vae_scale_factor for n in (*z_t.shape[-2:], most))
            raise UserError(
                f"size: pictures of {height} x {width} are too large; give at most {side} a side"
            )


def whole_patches(z: Tensor, patch: int) -> Tensor:
    """(B, C, h, w) with sides that ``patch`` divides: the last row and column are copied."""
    height, width = z.shape[-2:]
    return F.pad(z, (0, -width % patch, 0, -height % patch), mode="replicate")
