"""Stable Diffusion 3 and 3.5 as a teacher: a rectified flow, an MMDiT, up to three encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.checks import optional, require, text
from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.hooks import outputs_of
from i2i_dds.teacher.latent import LatentTeacher
from i2i_dds.teacher.placement import resolve_device, resolve_dtype
from i2i_dds.teacher.presets import presets_for
from i2i_dds.teacher.sd3_checkpoint import load_parts
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
    """

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
            presets_for("sd35") if presets is None else presets,
            device,
            dtype,
        )
        self._flow = process

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
        t5: bool = True,
        t5_tokens: int | None = None,
    ) -> StableDiffusion3Teacher:
        """Loads safetensors weights.

        Args:
            path: "pocket_flow", a diffusers Stable Diffusion 3 folder, or a hub id.
            device: See the class.
            dtype: See the class.
            revision: Branch, tag or commit of a hub id.
            variant: Of the weights' files, as "fp16"; None is the plain ones, or where a folder
                has none, those that it has.
            local_files_only: True never downloads.
            presets: Settings by editor; None is those that ``conf/teacher`` has for ``path``.
            t5: Whether T5, the largest part, is loaded where there is one; the network was
                trained to do without.
            t5_tokens: Of a prompt; as many zeros where T5 is absent. None is what the folder's
                ``model_index.json`` says, and 256, as diffusers has it, where it says nothing.

        Raises:
            UserError: Nothing is there, it cannot be downloaded, or it is another kind of model.
        """
        for name, value in {"revision": revision, "variant": variant}.items():
            require(name, value, optional(text()))
        device = resolve_device(device)
        dtype = resolve_dtype(dtype, device)
        parts = load_parts(path, dtype, revision, local_files_only, t5, variant)
        vae, process = parts.pop("vae"), parts.pop("process")
        if t5_tokens is not None:
            parts["t5_tokens"] = t5_tokens
        prompts = SD3PromptEncoder(**parts)
        presets = presets_for(path, "sd35") if presets is None else presets
        return cls(vae, parts["transformer"], prompts, process, device, dtype, presets)

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
