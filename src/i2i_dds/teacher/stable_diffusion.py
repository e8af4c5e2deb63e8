"""Stable Diffusion of any size as a teacher: the pocket weights, a folder, or a hub id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from i2i_dds.checks import optional, require, text
from i2i_dds.diffusion.process import Process
from i2i_dds.errors import UserError
from i2i_dds.teacher.checkpoint import load_parts
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.hooks import outputs_of
from i2i_dds.teacher.placement import frozen, resolve_device, resolve_dtype
from i2i_dds.teacher.presets import Presets, presets_for
from i2i_dds.teacher.prompts import PromptCache, PromptEncoder
from i2i_dds.teacher.vae import decode_scaled, encode_scaled

_BLOCKS = {"up": "up_blocks.", "all": ""}
"""Which layers of the UNet: the names of their modules begin so."""


class StableDiffusionTeacher:
    """A frozen latent diffusion model in diffusers' format, with epsilon or v prediction.

    A plain object and not a module, so that it enters no checkpoint and no optimizer. Its
    ``unet``, ``vae``, ``text_encoder`` and ``tokenizer`` may be read, a student started from
    the teacher copies ``unet``.

    Args:
        vae: AutoencoderKL.
        text_encoder: CLIPTextModel.
        tokenizer: CLIPTokenizer.
        unet: UNet2DConditionModel.
        process: The schedule it was trained under.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps".
        dtype: "float32", "float16", "bfloat16", "float64", or "auto" (half on a GPU).
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
        self._device = resolve_device(device)
        self._dtype = resolve_dtype(dtype, self._device)
        self.vae = frozen(vae, self._device, self._dtype)
        self.text_encoder = frozen(text_encoder, self._device, self._dtype)
        self.unet = frozen(unet, self._device, self._dtype)
        self.tokenizer = tokenizer
        self.process: Process = process
        self.latent_channels: int = vae.config.latent_channels
        self.vae_scale_factor: int = 2 ** (len(vae.config.block_out_channels) - 1)
        cells = unet.config.sample_size
        self.native_size: int = cells * self.vae_scale_factor if isinstance(cells, int) else 64
        self.presets: Presets = presets_for("sd15") if presets is None else presets
        self.nfe = 0
        self._prompts = PromptCache(PromptEncoder(self.tokenizer, self.text_encoder))

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
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._device

    @property
    def dtype(self) -> torch.dtype:
        """The type the networks compute in; latents keep their own type outside."""
        return self._dtype

    def to(self, device: torch.device | str) -> StableDiffusionTeacher:
        """Moves it, in place, and returns it."""
        self._device = resolve_device(device)
        for module in (self.vae, self.text_encoder, self.unet):
            module.to(self._device)
        self._prompts.clear()
        return self

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """``(mean - shift) * scale`` of pictures x (B, 3, H, W) in [-1, 1]."""
        return encode_scaled(self.vae, x)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] of latents z (B, C, h, w)."""
        return decode_scaled(self.vae, z)

    def embed(self, prompts: Sequence[str]) -> Conditioning:
        """Text embeddings, cached per prompt; a prompt too long is reported once."""
        return self._prompts(prompts)

    @torch.no_grad()
    def predict_noise(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """The noise in z_t, (B, C, h, w); arguments as in the interface."""
        self.nfe += len(z_t)
        output = self._forward(z_t, t, text)
        return self.process.to_eps(output, z_t.to(self._device), t.to(self._device))

    @property
    def network(self) -> Any:
        """The UNet."""
        return self.unet

    def training_loss(self, z: Tensor, text: Conditioning, t: Tensor, eps: Tensor) -> Tensor:
        """What the UNet was trained with: mean squared error of eps or of v, (B,)."""
        output = self._forward(self.process.mix(z, eps, t), t, text)
        return (output - self.process.target(z, eps, t)).square().mean((1, 2, 3))

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
