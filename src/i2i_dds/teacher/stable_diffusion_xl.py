"""Stable Diffusion XL as a teacher: two text encoders, a pooled embedding, and sizes it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from i2i_dds.diffusion.process import Process
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.placement import resolve_device, resolve_dtype
from i2i_dds.teacher.sdxl_checkpoint import read_sdxl
from i2i_dds.teacher.unet import UNetTeacher


class StableDiffusionXLTeacher(UNetTeacher):
    """A frozen Stable Diffusion XL in diffusers' format (Podell et al., ICLR 2024).

    Beside the timestep the network is told the pooled embedding of the prompt and six numbers: the
    size of the picture, no crop, and that size again. In half precision (float16) the autoencoder
    stays in float32 where its config says that it overflows.

    Args:
        vae: AutoencoderKL.
        text_encoder: CLIPTextModel.
        tokenizer: Its CLIPTokenizer.
        text_encoder_2: CLIPTextModelWithProjection.
        tokenizer_2: Its CLIPTokenizer.
        unet: UNet2DConditionModel.
        process: The schedule it was trained under.
        zero_empty_prompt: Whether the empty prompt is zeros, as it was in its training.
        device: See :class:`LatentTeacher`.
        dtype: See :class:`LatentTeacher`.
        presets: Settings by editor; None is those of ``conf/teacher/sdxl.yaml``.
    """

    choice = "sdxl"
    read = staticmethod(read_sdxl)

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        text_encoder_2: Any,
        tokenizer_2: Any,
        unet: Any,
        process: Process,
        zero_empty_prompt: bool = True,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        presets: Mapping[str, Any] | None = None,
    ) -> None:
        device = resolve_device(device)
        overflows = resolve_dtype(dtype, device) == torch.float16 and vae.config.force_upcast
        # Only for its encode_prompt: it draws nothing.
        parts: dict[str, Any] = {"vae": None, "unet": None, "scheduler": None}
        self._pipeline = StableDiffusionXLPipeline(
            **parts,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
        )
        self._zero_empty_prompt = zero_empty_prompt
        super().__init__(
            vae,
            unet,
            [text_encoder, text_encoder_2],
            self._encode_prompts,
            process,
            unet.config.sample_size,
            presets,
            device,
            dtype,
            torch.float32 if overflows else None,
        )

    @torch.no_grad()
    def _encode_prompts(self, prompts: list[str]) -> Conditioning:
        """``embeddings`` (B, 77, D), ``pooled`` (B, D') and ``tokens`` (B, 77).

        Diffusers warns of lost words.
        """
        words: Any = prompts
        embeddings, _, pooled, _ = self._pipeline.encode_prompt(
            words, device=self._device, do_classifier_free_guidance=False
        )
        if self._zero_empty_prompt:
            empty = torch.tensor([not prompt for prompt in prompts], device=self._device)
            embeddings = embeddings.masked_fill(empty[:, None, None], 0)
            pooled = pooled.masked_fill(empty[:, None], 0)
        tokens = self._pipeline.tokenizer_2(
            prompts,
            padding="max_length",
            max_length=embeddings.shape[1],
            truncation=True,
            return_tensors="pt",
        )
        ids = tokens.input_ids.to(self._device)
        return Conditioning(embeddings, pooled=pooled, tokens=ids)

    def _added(self, z_t: Tensor, text: Conditioning) -> dict[str, Tensor]:
        size = [side * self.vae_scale_factor for side in z_t.shape[-2:]]
        sizes = torch.tensor([*size, 0, 0, *size], device=self._device, dtype=self._dtype)
        pooled = text["pooled"].to(self._device, self._dtype)
        return {"text_embeds": pooled, "time_ids": sizes.expand(len(z_t), -1)}
