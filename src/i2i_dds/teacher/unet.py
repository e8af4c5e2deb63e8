"""What Stable Diffusion 1, 2 and XL have in common: a UNet that predicts noise or v."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from i2i_dds.errors import UserError
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.hooks import outputs_of
from i2i_dds.teacher.latent import LatentTeacher

_BLOCKS = {"up": "up_blocks.", "all": ""}
"""Which layers of the UNet: the names of their modules begin so."""


class UNetTeacher(LatentTeacher):
    """A latent teacher whose network is diffusers' UNet2DConditionModel."""

    @property
    def unet(self) -> Any:
        """The network that predicts."""
        return self._network

    @property
    def feature_blocks(self) -> int:
        """The UNet's up blocks."""
        return len(self.unet.up_blocks)

    def self_attention(
        self, z_t: Tensor, t: Tensor, text: Conditioning, blocks: str = "all"
    ) -> list[Tensor]:
        """Outputs of the UNet's self-attention, in the order of evaluation; see the interface."""
        if blocks not in _BLOCKS:
            raise UserError(f"blocks: {blocks!r} is not allowed; give one of {', '.join(_BLOCKS)}")
        layers = [
            module
            for name, module in self.unet.named_modules()
            if name.startswith(_BLOCKS[blocks]) and name.endswith(".attn1")
        ]
        if not layers:
            raise UserError(f"blocks: this UNet has no self-attention in {blocks!r}; give another")
        self.nfe += len(z_t)
        with outputs_of(layers) as outputs:
            self._forward(z_t, t, text)
        return outputs

    @torch.no_grad()
    def features(self, z_t: Tensor, t: Tensor, text: Conditioning, block: int) -> Tensor:
        """What an up block of the UNet gives out, (B, C', h', w'); see the interface."""
        with outputs_of([self.unet.up_blocks[block]]) as outputs:
            self.predict_noise(z_t, t, text)
        return outputs[0]

    def _forward(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        return self.unet(
            z_t.to(self._device, self._dtype),
            t.to(self._device),
            encoder_hidden_states=text.embeddings.to(self._device, self._dtype),
            added_cond_kwargs=self._added(z_t, text),
        ).sample.to(z_t.dtype)

    def _added(self, z_t: Tensor, text: Conditioning) -> dict[str, Tensor] | None:
        """What the UNet is told beside the timesteps and the prompts' tokens."""
        return None
