"""Stable Diffusion 3 and 3.5 as a teacher: a rectified flow, an MMDiT, up to three encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.mmdit import MMDiTTeacher, whole_patches
from i2i_dds.teacher.sd3_checkpoint import read_sd3
from i2i_dds.teacher.sd3_prompts import SD3PromptEncoder


class StableDiffusion3Teacher(MMDiTTeacher):
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

    def _forward(self, network: Any, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """What the MMDiT says, of z_t's type and shape.

        It wants whole patches: a row or column too few is the last one's copy, and cut off again.
        """
        height, width = z_t.shape[-2:]
        self._check_places(z_t, self.patch * self.transformer.config["pos_embed_max_size"])
        velocity = network(
            hidden_states=whole_patches(z_t.to(self._device, self._dtype), self.patch),
            timestep=1000 * self._flow.sigma(t.to(self._device), z_t.new_ones(len(z_t))),
            encoder_hidden_states=text.embeddings.to(self._device, self._dtype),
            pooled_projections=text["pooled"].to(self._device, self._dtype),
        ).sample
        return velocity[..., :height, :width].to(z_t.dtype)
