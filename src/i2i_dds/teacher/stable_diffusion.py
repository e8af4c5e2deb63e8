"""Stable Diffusion of any size as a teacher: the pocket weights, a folder, or a hub id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from i2i_dds.checks import optional, require, text
from i2i_dds.diffusion.process import Process
from i2i_dds.teacher.checkpoint import load_parts
from i2i_dds.teacher.placement import resolve_device, resolve_dtype
from i2i_dds.teacher.presets import presets_for
from i2i_dds.teacher.prompts import PromptEncoder
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
            presets_for("sd15") if presets is None else presets,
            device,
            dtype,
        )
        self.tokenizer = tokenizer

    @classmethod
    def load(
        cls,
        path: str,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        revision: str | None = None,
        variant: str | None = None,
        local_files_only: bool | None = None,
        presets: Mapping[str, Any] | None = None,
    ) -> StableDiffusionTeacher:
        """Loads safetensors weights.

        Args:
            path: "pocket", a diffusers Stable Diffusion folder, or a hub id.
            device: See the class.
            dtype: See the class.
            revision: Branch, tag or commit of a hub id.
            variant: Of the weights' files, as "fp16"; None is the plain ones, or where a folder
                has none, those that it has.
            local_files_only: True never downloads.
            presets: Settings by editor; None is those that ``conf/teacher`` has for ``path``.

        Raises:
            UserError: Nothing is there, it cannot be downloaded, or it is another kind of model.
        """
        for name, value in {"revision": revision, "variant": variant}.items():
            require(name, value, optional(text()))
        device = resolve_device(device)
        dtype = resolve_dtype(dtype, device)
        parts = load_parts(path, dtype, revision, local_files_only, variant)
        presets = presets_for(path) if presets is None else presets
        return cls(**parts, device=device, dtype=dtype, presets=presets)

    @property
    def text_encoder(self) -> Any:
        """The network that reads prompts."""
        return self.text_encoders[0]
