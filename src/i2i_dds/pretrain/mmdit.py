"""The pocket MMDiT of Stable Diffusion 3's make, trained on latents with its text encoders.

Stable Diffusion 3 fills the place of an absent T5 with 256 tokens of zeros. They have no positions,
so they stay alike from layer to layer, and one of them whose attention weight counts 256 times
stands for all, exactly. A share of the rows sees it, the others see none. What was trained so draws
for diffusers, which appends them, and four times faster for our adapter, which need not.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from transformers import CLIPTextModelWithProjection

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.pretrain.stage import Stage

ABSENT_TOKENS = 256
"""What diffusers appends where there is no T5."""


def new_mmdit(
    joint_width: int,
    pooled_width: int,
    latent_channels: int = 16,
    cells: int = 16,
    heads: int = 6,
    head_width: int = 32,
    layers: int = 8,
) -> SD3Transformer2DModel:
    """An untrained MMDiT (Esser et al., ICML 2024) on patches of 2 x 2 cells.

    Args:
        joint_width: of the text tokens, all encoders together.
        pooled_width: of the pooled text, all encoders together.
        latent_channels: channels of the latents.
        cells: side of the latents.
        heads: attention heads.
        head_width: channels of a head.
        layers: joint blocks.
    """
    config: dict[str, Any] = {
        "sample_size": cells,
        "patch_size": 2,
        "in_channels": latent_channels,
        "out_channels": latent_channels,
        "num_layers": layers,
        "attention_head_dim": head_width,
        "num_attention_heads": heads,
        "joint_attention_dim": joint_width,
        "caption_projection_dim": heads * head_width,
        "pooled_projection_dim": pooled_width,
        "pos_embed_max_size": cells,
        "qk_norm": "rms_norm",  # as Stable Diffusion 3.5 has it
    }
    mmdit = SD3Transformer2DModel(**config)
    _start_as_identity(mmdit)
    return mmdit


@torch.no_grad()
def _start_as_identity(mmdit: SD3Transformer2DModel) -> None:
    """Every block passes on what it gets, and the output is 0 (adaLN-Zero, Peebles & Xie 2023)."""
    heads = [mmdit.proj_out, mmdit.norm_out.linear]
    for block in mmdit.transformer_blocks:
        heads += [block.norm1.linear, block.norm1_context.linear]  # type: ignore[union-attr]
    for head in heads:
        head.weight.zero_()  # type: ignore[union-attr]
        head.bias.zero_()  # type: ignore[union-attr]


class FlowBatch(NamedTuple):
    """What one step sees.

    Attributes:
        latents: clean, scaled, shape (batch, c, h, w).
        tokens: of the captions, shape (batch, length); some rows are the empty prompt's.
    """

    latents: Tensor
    tokens: Tensor


class FlowStage(Stage):
    """Velocity prediction with logit-normal timesteps (Esser et al., ICML 2024, eq. 19).

    Args:
        transformer: trained.
        text_encoders: trained with it, two, which share a tokenizer.
        process: the rectified flow.
        absent: share of rows that see the absent T5's tokens, in [0, 1].
        **stage: see `Stage`.
    """

    def __init__(
        self,
        transformer: SD3Transformer2DModel,
        text_encoders: tuple[CLIPTextModelWithProjection, CLIPTextModelWithProjection],
        process: RectifiedFlow,
        absent: float = 0.25,
        **stage: Any,
    ) -> None:
        super().__init__(**stage)
        self.transformer = transformer
        self.text_encoder, self.text_encoder_2 = text_encoders
        self.process, self.absent = process, absent
        transformer.set_attn_processor(KeyBiasProcessor())  # type: ignore[arg-type]

    def loss(self, batch: FlowBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """The squared error of the velocity."""
        z = batch.latents
        u = torch.randn(len(z), generator=generator).sigmoid()
        t = (u * len(self.process)).long().to(z.device)
        eps = torch.randn(z.shape, generator=generator).to(z)
        seen = torch.rand(len(z), generator=generator) < self.absent
        text, pooled = self.encode(batch.tokens)
        output = self.transformer(
            hidden_states=self.process.mix(z, eps, t),
            timestep=network_time(self.process, t, z),
            encoder_hidden_states=F.pad(text, (0, 0, 0, 1)),
            pooled_projections=pooled,
            joint_attention_kwargs={"key_bias": _weight_of_last(seen.to(z.device))},
        ).sample
        return {"mse": (output - self.process.target(z, eps, t)).square().mean()}

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Joint embeddings (batch, length, d) and pooled ones (batch, d'), as in diffusers."""
        outputs = [
            encoder(tokens, output_hidden_states=True)
            for encoder in (self.text_encoder, self.text_encoder_2)
        ]
        joint = torch.cat([output.hidden_states[-2] for output in outputs], -1)
        return joint, torch.cat([output.text_embeds for output in outputs], -1)


def network_time(process: RectifiedFlow, t: Tensor, like: Tensor) -> Tensor:
    """What Stable Diffusion 3's network is told of timesteps t (B,): ``1000 s_t``."""
    return 1000 * process.sigma(t, like[:, 0, 0, 0])


class KeyBiasProcessor:
    """Joint attention as diffusers has it, with a bias added to the logits of every key."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        key_bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Outputs for the picture's tokens and the text's.

        Args:
            attn: the layer whose projections are used.
            hidden_states: the picture's tokens, (batch, n, d).
            encoder_hidden_states: the text's tokens, (batch, m, d).
            attention_mask: must be None; diffusers' own processor ignores it.
            key_bias: of the last keys, (batch, k); None is none.
        """
        n = hidden_states.shape[1]
        query = _joint(attn, hidden_states, encoder_hidden_states, "q")
        key = _joint(attn, hidden_states, encoder_hidden_states, "k")
        value = _joint(attn, hidden_states, encoder_hidden_states, "v")
        mask = None
        if key_bias is not None:
            mask = F.pad(key_bias, (key.shape[2] - key_bias.shape[1], 0))[:, None, None].to(query)
        out = F.scaled_dot_product_attention(query, key, value, mask)
        out = out.transpose(1, 2).flatten(2)
        picture, text = out[:, :n], out[:, n:]
        if not attn.context_pre_only:
            text = attn.to_add_out(text)  # type: ignore[misc]
        return attn.to_out[0](picture), text  # type: ignore[index]


def _joint(attn: Attention, picture: Tensor, text: Tensor, name: str) -> Tensor:
    """Queries "q", keys "k" or values "v" of the picture's and the text's tokens, by heads."""
    own = getattr(attn, f"to_{name}")(picture).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    added = getattr(attn, f"add_{name}_proj")(text)
    added = added.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    if name != "v" and attn.norm_q is not None:
        own = getattr(attn, f"norm_{name}")(own)
        added = getattr(attn, f"norm_added_{name}")(added)
    return torch.cat([own, added], 2)


def _weight_of_last(seen: Tensor) -> Tensor:
    """Of the last key: the logarithm of 256 where rows see it, else minus infinity; (batch, 1)."""
    return torch.where(seen, math.log(ABSENT_TOKENS), -torch.inf)[:, None]
