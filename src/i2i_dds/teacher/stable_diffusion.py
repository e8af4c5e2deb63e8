"""Stable Diffusion of any size as a teacher: the pocket weights, a folder, or a hub id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from i2i_dds.diffusion.process import Process
from i2i_dds.teacher.prompts import PromptEncoder
from i2i_dds.teacher.sd_checkpoint import read_sd
from i2i_dds.teacher.unet import UNetTeacher

_CELLS = 64
"""Side of the latents of Stable Diffusion 1, for a config that does not say."""


class StableDiffusionTeacher(UNetTeacher):
    """A frozen latent diffusion model in diffusers' format, with epsilon or v prediction.

    Its ``unet``, ``vae``, ``text_encoder`` and ``tokenizer`` may be read, a student started from
    the teacher copies ``unet``.

    Args:
        vae: AutoencoderKL.
        text_encoder: CLIPTextModel.
        tokenizer: CLIPTokenizer.
        unet: UNet2DConditionModel.
        process: The schedule it was trained under.
        device: See :class:`LatentTeacher`.
        dtype: See :class:`LatentTeacher`.
        presets: Settings by editor; None is those of Stable Diffusion 1.5.
    """

    choice = "sd15"
    read = staticmethod(read_sd)

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        unet: Any,
        process: Process,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        presets: Mapping[str, Any] | None = None,
    ) -> None:
        cells = unet.config.sample_size
        super().__init__(
            vae,
            unet,
            [text_encoder],
            PromptEncoder(tokenizer, text_encoder),
            process,
            cells if isinstance(cells, int) and cells > 0 else _CELLS,
            presets,
            device,
            dtype,
        )
        self.tokenizer = tokenizer

    @property
    def text_encoder(self) -> Any:
        """The network that reads prompts."""
        return self.text_encoders[0]
