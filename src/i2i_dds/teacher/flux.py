"""FLUX.1 as a teacher: a rectified flow over packed latents, dev with a guidance it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import FluxPipeline
from torch import Tensor

from i2i_dds.checks import number, require
from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.flux_checkpoint import PATCH, flux_cells, read_flux
from i2i_dds.teacher.mmdit import MMDiTTeacher, whole_patches


class FluxTeacher(MMDiTTeacher):
    """A frozen FLUX.1 in diffusers' format.

    The network predicts the velocity ``v = eps - z``. Four cells of the latent are one token. Dev
    was distilled from a guided model: it is told the scale of guidance and asked once, so that the
    editors' own guidance is 1. Any other is true classifier-free guidance, in two passes.

    Args:
        vae: AutoencoderKL.
        transformer: FluxTransformer2DModel.
        text_encoder: CLIPTextModel, of which the pooled output is used.
        tokenizer: Its CLIPTokenizer.
        text_encoder_2: T5EncoderModel.
        tokenizer_2: Its tokenizer.
        process: The flow it was trained under.
        distilled_guidance: What dev is told; schnell takes none.
        device: See :class:`LatentTeacher`.
        dtype: See :class:`LatentTeacher`.
        presets: Settings by editor; None is those of ``conf/teacher/flux.yaml``.

    :meth:`load` takes ``distilled_guidance`` too.
    """

    choice = "flux"
    read = staticmethod(read_flux)

    def __init__(
        self,
        vae: Any,
        transformer: Any,
        text_encoder: Any,
        tokenizer: Any,
        text_encoder_2: Any,
        tokenizer_2: Any,
        process: RectifiedFlow,
        distilled_guidance: float = 3.5,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        presets: Mapping[str, Any] | None = None,
    ) -> None:
        require("distilled_guidance", distilled_guidance, number(min=0))
        encoders = {"text_encoder": text_encoder, "text_encoder_2": text_encoder_2}
        tokenizers = {"tokenizer": tokenizer, "tokenizer_2": tokenizer_2}
        # Only for its encode_prompt: it draws nothing.
        parts: dict[str, Any] = {"vae": None, "transformer": None, "scheduler": None}
        self._pipeline = FluxPipeline(**parts, **encoders, **tokenizers)
        super().__init__(
            vae,
            transformer,
            [text_encoder, text_encoder_2],
            self._encode_prompts,
            process,
            flux_cells(vae),
            presets,
            device,
            dtype,
        )
        self._flow = process
        self.distilled_guidance = distilled_guidance

    @property
    def patch(self) -> int:
        """Two: the network itself is given packed cells, and says one."""
        return PATCH

    @torch.no_grad()
    def _encode_prompts(self, prompts: list[str]) -> Conditioning:
        """``embeddings`` (B, L, D) of T5 and ``pooled`` (B, D') of CLIP."""
        words: Any = prompts
        encoded: Any = self._pipeline.encode_prompt(
            words, words, device=self._device, max_sequence_length=self._t5_tokens()
        )
        embeddings, pooled, _ = encoded
        return Conditioning(embeddings, pooled=pooled)

    def _t5_tokens(self) -> int:
        """Of a prompt: 512 of dev, 256 of schnell, as they were trained."""
        return 512 if self.transformer.config.guidance_embeds else 256

    def _forward(self, network: Any, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """What the network says, of z_t's type and shape; an odd side ends in copies."""
        height, width = z_t.shape[-2:]
        z = whole_patches(z_t.to(self._device, self._dtype), PATCH)
        batch, channels, rows, columns = z.shape
        guidance = None
        if self.transformer.config.guidance_embeds:
            guidance = torch.full((batch,), self.distilled_guidance, device=self._device)
        velocity = network(
            hidden_states=FluxPipeline._pack_latents(z, batch, channels, rows, columns),
            timestep=self._flow.sigma(t.to(self._device), z.new_ones(batch)),
            guidance=guidance,
            pooled_projections=text["pooled"].to(self._device, self._dtype),
            encoder_hidden_states=text.embeddings.to(self._device, self._dtype),
            txt_ids=torch.zeros(text.embeddings.shape[1], 3, device=self._device),
            img_ids=FluxPipeline._prepare_latent_image_ids(
                batch, rows // PATCH, columns // PATCH, self._device, torch.float32
            ),
        ).sample
        unpacked = FluxPipeline._unpack_latents(velocity, rows, columns, vae_scale_factor=1)
        return unpacked[..., :height, :width].to(z_t.dtype)
