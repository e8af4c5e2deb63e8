"""Stable Diffusion of any size as a teacher: the pocket weights, a folder, or a hub id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from i2i_dds.diffusion.schedule import NoiseSchedule
from i2i_dds.teacher.checkpoint import load_parts
from i2i_dds.teacher.placement import resolve_device, resolve_dtype
from i2i_dds.teacher.presets import Presets, presets_for
from i2i_dds.teacher.prompts import PromptEncoder


class StableDiffusionTeacher:
    """A frozen latent diffusion model in diffusers' format, with epsilon or v prediction.

    A plain object and not a module, so that it enters no checkpoint and no optimiser. Its
    ``unet``, ``vae``, ``text_encoder`` and ``tokenizer`` may be read, a student started from
    the teacher copies ``unet``.

    Args:
        vae: AutoencoderKL.
        text_encoder: CLIPTextModel.
        tokenizer: CLIPTokenizer.
        unet: UNet2DConditionModel.
        schedule: The schedule it was trained under.
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
        schedule: NoiseSchedule,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        presets: Mapping[str, Any] | None = None,
    ) -> None:
        self._device = resolve_device(device)
        self._dtype = resolve_dtype(dtype, self._device)
        self.vae = _frozen(vae, self._device, self._dtype)
        self.text_encoder = _frozen(text_encoder, self._device, self._dtype)
        self.unet = _frozen(unet, self._device, self._dtype)
        self.tokenizer = tokenizer
        self.schedule = schedule
        self.latent_channels: int = vae.config.latent_channels
        self.downscale: int = 2 ** (len(vae.config.block_out_channels) - 1)
        cells = unet.config.sample_size
        self.native_size: int = cells * self.downscale if isinstance(cells, int) else 64
        self.presets: Presets = presets_for("sd15") if presets is None else presets
        self.evaluations = 0
        self._prompts = PromptEncoder(self.tokenizer, self.text_encoder)

    @classmethod
    def load(
        cls,
        path: str,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        revision: str | None = None,
        local_files_only: bool | None = None,
        presets: Mapping[str, Any] | None = None,
    ) -> StableDiffusionTeacher:
        """Loads safetensors weights.

        Args:
            path: "pocket", a diffusers Stable Diffusion folder, or a hub id.
            device: See the class.
            dtype: See the class.
            revision: Branch, tag or commit of a hub id.
            local_files_only: True never downloads.
            presets: Settings by editor; None is those that ``conf/teacher`` has for ``path``.

        Raises:
            UserError: Nothing is there, it cannot be downloaded, or it is another kind of model.
        """
        device = resolve_device(device)
        dtype = resolve_dtype(dtype, device)
        parts = load_parts(path, dtype, revision, local_files_only)
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
        mean = self.vae.encode(x.to(self._device, self._dtype)).latent_dist.mode()
        return (mean.to(x.dtype) - self._shift) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] of latents z (B, C, h, w)."""
        unscaled = z / self.vae.config.scaling_factor + self._shift
        x = self.vae.decode(unscaled.to(self._device, self._dtype)).sample
        return x.to(z.dtype).clamp(-1, 1)

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """Text embeddings (B, L, D), cached per prompt; a prompt too long is reported once."""
        return self._prompts(prompts)

    @torch.no_grad()
    def predict_noise(self, z_t: Tensor, t: Tensor, text: Tensor) -> Tensor:
        """The noise in z_t, (B, C, h, w); arguments as in the interface."""
        self.evaluations += len(z_t)
        t = t.to(self._device)
        output = self.unet(
            z_t.to(self._device, self._dtype),
            t,
            encoder_hidden_states=text.to(self._device, self._dtype),
        ).sample
        return self.schedule.to_eps(output.to(z_t.dtype), z_t.to(self._device), t)

    @property
    def _shift(self) -> float:
        return getattr(self.vae.config, "shift_factor", None) or 0.0


def _frozen(module: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if module.dtype != dtype:
        module = module.to(dtype=dtype)
    return module.to(device).eval().requires_grad_(False)
