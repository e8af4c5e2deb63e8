"""Stable Diffusion 3 and 3.5 as a teacher: a rectified flow, an MMDiT, up to three encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.hooks import outputs_of
from i2i_dds.teacher.latent import LatentTeacher
from i2i_dds.teacher.sd3_checkpoint import read_sd3
from i2i_dds.teacher.sd3_prompts import SD3PromptEncoder


class StableDiffusion3Teacher(LatentTeacher):
    """A frozen rectified flow over latents, in diffusers' format.

    The network predicts the velocity ``v = eps - z`` (Esser et al., ICML 2024);
    :meth:`predict_noise` turns it into noise, ``eps = z_t + (1 - s_t) v``. A timestep t is the row
    of the flow's table, and the network is told ``1000 s_t``.

    Args:
        vae: AutoencoderKL.
        transformer: SD3Transformer2DModel.
        prompts: From prompts to embeddings and pooled embeddings.
        process: The flow it was trained under.
        device: See :class:`LatentTeacher`.
        dtype: See :class:`LatentTeacher`.
        presets: Settings by editor; None is those of Stable Diffusion 3.5.

    Of :meth:`load` its own are ``t5``, whether T5, the largest part, is loaded where there is one
    (the network was trained to do without), and ``t5_tokens``, see :func:`read_sd3`.
    """

    choice = "sd35"
    read = staticmethod(read_sd3)

    def __init__(
        self,
        vae: Any,
        transformer: Any,
        prompts: SD3PromptEncoder,
        process: RectifiedFlow,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        presets: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            vae,
            transformer,
            prompts.encoders,
            prompts,
            process,
            transformer.config.sample_size,
            presets,
            device,
            dtype,
        )
        self._flow = process

    @property
    def transformer(self) -> Any:
        """The network that predicts, an MMDiT."""
        return self._network

    def self_attention(
        self, z_t: Tensor, t: Tensor, text: Conditioning, blocks: str = "all"
    ) -> list[Tensor]:
        """What joint attention gives out for the picture's tokens; see the interface.

        An MMDiT has no decoder: "up" is the later half of its blocks.
        """
        halves = {"all": 0, "up": len(self.transformer.transformer_blocks) // 2}
        if blocks not in halves:
            raise UserError(f"blocks: {blocks!r} is not allowed; give one of {', '.join(halves)}")
        layers = [block.attn for block in self.transformer.transformer_blocks[halves[blocks] :]]
        self.nfe += len(z_t)
        with outputs_of(layers) as outputs:
            self._forward(z_t, t, text)
        return [output[0] for output in outputs]

    def _forward(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """What the MMDiT says, of z_t's type and shape.

        It wants whole patches: a row or column too few is the last one's copy, and cut off again.
        """
        height, width = z_t.shape[-2:]
        patch, most = (self.transformer.config[k] for k in ("patch_size", "pos_embed_max_size"))
        if max(height, width) > patch * most:
            side = patch * most * self.vae_scale_factor
            raise UserError(
                f"size: pictures of {height * self.vae_scale_factor} x "
                f"{width * self.vae_scale_factor} are too large; give at most {side} a side"
            )
        padding = (0, -width % patch, 0, -height % patch)
        velocity = self.transformer(
            hidden_states=F.pad(z_t.to(self._device, self._dtype), padding, mode="replicate"),
            timestep=1000 * self._flow.sigma(t.to(self._device), z_t.new_ones(len(z_t))),
            encoder_hidden_states=text.embeddings.to(self._device, self._dtype),
            pooled_projections=text["pooled"].to(self._device, self._dtype),
        ).sample
        return velocity[..., :height, :width].to(z_t.dtype)
