"""Stable Diffusion of any size as a teacher: the pocket weights, a folder, or a hub id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from i2i_dds.checks import optional, require, text
from i2i_dds.diffusion.process import Process
from i2i_dds.errors import UserError
from i2i_dds.teacher.checkpoint import load_parts
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.hooks import outputs_of
from i2i_dds.teacher.latent import LatentTeacher
from i2i_dds.teacher.placement import resolve_device, resolve_dtype
from i2i_dds.teacher.presets import presets_for
from i2i_dds.teacher.prompts import PromptEncoder

_BLOCKS = {"up": "up_blocks.", "all": ""}
"""Which layers of the UNet: the names of their modules begin so."""

_CELLS = 64
"""Side of the latents of Stable Diffusion 1, for a config that does not say."""


class StableDiffusionTeacher(LatentTeacher):
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
            cells if isinstance(cells, int) else _CELLS,
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
    def unet(self) -> Any:
        """The network that predicts."""
        return self._network

    @property
    def text_encoder(self) -> Any:
        """The network that reads prompts."""
        return self.text_encoders[0]

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

    @property
    def feature_blocks(self) -> int:
        """The UNet's up blocks."""
        return len(self.unet.up_blocks)

    @torch.no_grad()
    def features(self, z_t: Tensor, t: Tensor, text: Conditioning, block: int) -> Tensor:
        """What an up block of the UNet gives out, (B, C', h', w'); see the interface."""
        with outputs_of([self.unet.up_blocks[block]]) as outputs:
            self.predict_noise(z_t, t, text)
        return outputs[0]

    def _forward(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """What the UNet says, of z_t's type."""
        return self.unet(
            z_t.to(self._device, self._dtype),
            t.to(self._device),
            encoder_hidden_states=text.embeddings.to(self._device, self._dtype),
        ).sample.to(z_t.dtype)
