"""What Stable Diffusion 1, 2 and XL have in common: a UNet that predicts noise or v."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from i2i_dds.errors import UserError
from i2i_dds.teacher.attention import attention_of, mean_map, sizes_below
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.hooks import outputs_of
from i2i_dds.teacher.interface import AttentionMaps
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
        """The UNet's up blocks, of which 0 is the coarsest."""
        return len(self.unet.up_blocks)

    @property
    def feature_block(self) -> int:
        """DIFT's, the second."""
        return min(1, self.feature_blocks - 1)

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
            self._forward(self._network, z_t, t, text)
        return outputs

    @torch.no_grad()
    def attention_maps(self, z_t: Tensor, t: Tensor, text: Conditioning) -> AttentionMaps:
        """Cross-attention at a quarter of the latents' side, self-attention at half of it.

        Where the UNet has none of that size, the next coarser one, else the next finer.

        Raises:
            UserError: It has no layer of cross- or of self-attention.
        """
        layers = {
            ending: [m for name, m in self.unet.named_modules() if name.endswith(ending)]
            for ending in (".attn1", ".attn2")
        }
        if not all(layers.values()):
            raise UserError(
                "score: this UNet lacks cross- or self-attention; give score.attention=false"
            )
        self.nfe += len(z_t)
        with attention_of([*layers[".attn1"], *layers[".attn2"]]) as found:
            self._forward(self._network, z_t, t, text)
        sizes = sizes_below(z_t.shape[-2:])
        own, own_size = mean_map([found[m] for m in layers[".attn1"]], sizes, halvings=1)
        cross, size = mean_map([found[m] for m in layers[".attn2"]], sizes, halvings=2)
        return AttentionMaps(cross.transpose(1, 2).unflatten(2, size), own, own_size)

    @torch.no_grad()
    def features(self, z_t: Tensor, t: Tensor, text: Conditioning, block: int) -> Tensor:
        """What an up block of the UNet gives out, (B, C', h', w'); see the interface."""
        with outputs_of([self.unet.up_blocks[block]]) as outputs:
            self.noise_with_graph(z_t, t, text)
        return outputs[0]

    def _forward(self, network: Any, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        return network(
            z_t.to(self._device, self._dtype),
            t.to(self._device),
            encoder_hidden_states=text.embeddings.to(self._device, self._dtype),
            added_cond_kwargs=self._added(z_t, text),
        ).sample.to(z_t.dtype)

    def _added(self, z_t: Tensor, text: Conditioning) -> dict[str, Tensor] | None:
        """What the UNet is told beside the timesteps and the prompts' tokens."""
        return None
