"""Prompts of Stable Diffusion 3 through diffusers' own `encode_prompt`, encoders absent or not."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import StableDiffusion3Pipeline
from torch import Tensor, nn
from transformers.modeling_outputs import ModelOutput

from i2i_dds.teacher.conditioning import Conditioning


class SD3PromptEncoder:
    """What Stable Diffusion 3's network is told of prompts.

    Esser et al. (ICML 2024) trained with each encoder left out at times, zeros in its place. So
    zeros stand for the second CLIP and for T5 where they are absent.

    Args:
        transformer: SD3Transformer2DModel, for its widths.
        text_encoder: CLIPTextModelWithProjection.
        tokenizer: Its CLIPTokenizer.
        text_encoder_2: The second CLIP, or None.
        tokenizer_2: Its tokenizer, or None.
        text_encoder_3: T5EncoderModel, or None.
        tokenizer_3: Its tokenizer, or None.
        t5_tokens: Of a prompt; so many zeros where T5 is absent.
    """

    def __init__(
        self,
        transformer: Any,
        text_encoder: Any,
        tokenizer: Any,
        text_encoder_2: Any = None,
        tokenizer_2: Any = None,
        text_encoder_3: Any = None,
        tokenizer_3: Any = None,
        t5_tokens: int = 256,
    ) -> None:
        self.t5_tokens = t5_tokens
        self.encoders = [
            one for one in (text_encoder, text_encoder_2, text_encoder_3) if one is not None
        ]
        if text_encoder_2 is None:
            pooled = transformer.config.pooled_projection_dim
            text_encoder_2 = _Absent(pooled - text_encoder.config.projection_dim)
            tokenizer_2 = tokenizer
        # Only for its encode_prompt: it draws nothing.
        parts: dict[str, Any] = {
            "transformer": transformer,
            "scheduler": None,
            "vae": None,
            "text_encoder": text_encoder,
            "tokenizer": tokenizer,
            "text_encoder_2": text_encoder_2,
            "tokenizer_2": tokenizer_2,
            "text_encoder_3": text_encoder_3,
            "tokenizer_3": tokenizer_3,
        }
        self._pipeline = StableDiffusion3Pipeline(**parts)

    @torch.no_grad()
    def __call__(self, prompts: list[str]) -> Conditioning:
        """``embeddings`` (B, L, D) and ``pooled`` (B, D'); diffusers warns of lost words."""
        words: Any = prompts
        encoded: Any = self._pipeline.encode_prompt(
            words,
            words,
            words,
            device=self.encoders[0].device,
            do_classifier_free_guidance=False,
            max_sequence_length=self.t5_tokens,
        )
        embeddings, _, pooled, _ = encoded
        return Conditioning(embeddings, pooled=pooled)


class _Absent(nn.Module):
    """In place of a second CLIP: a pooled output of zeros, and tokens that have no width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, tokens: Tensor, **_: Any) -> ModelOutput:
        """Zeros for tokens (B, L)."""
        pooled = torch.zeros(len(tokens), self.width, device=tokens.device)
        none = torch.zeros(*tokens.shape, 0, device=tokens.device)
        return ModelOutput(text_embeds=pooled, hidden_states=(none, none))
