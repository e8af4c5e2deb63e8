"""AuraFlow as a teacher: a rectified flow with one text encoder; the whole family in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from i2i_dds.checks import choice, require
from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.teacher.checkpoint import Checkpoint, Parts
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.flux_checkpoint import flux_cells
from i2i_dds.teacher.mmdit import MMDiTTeacher, whole_patches
from i2i_dds.teacher.placement import resolve_dtype
from i2i_dds.teacher.random_sd3 import letter_tokenizer
from i2i_dds.teacher.random_weights import write_random

_TOKENS = 256
"""Of a prompt, as diffusers has it."""


def _read(checkpoint: Checkpoint) -> Parts:
    parts: Parts = {
        "vae": checkpoint.network(AutoencoderKL, "vae"),
        "transformer": checkpoint.network(AuraFlowTransformer2DModel, "transformer"),
        "process": RectifiedFlow.from_scheduler_config(checkpoint.scheduler()),
        **checkpoint.t5(kind=UMT5EncoderModel),
    }
    checkpoint.checked(parts)
    config, text = parts["transformer"].config, parts["text_encoder"].config.d_model
    pairs = {
        "channels": (config.in_channels, parts["vae"].config.latent_channels),
        "a text of width": (config.joint_attention_dim, text),
    }
    checkpoint.refuse_misfits("transformer", pairs)
    return parts


class AuraFlowTeacher(MMDiTTeacher):
    """A frozen AuraFlow in diffusers' format.

    The network predicts the velocity ``v = eps - z`` and is told ``s_t``, the share of noise.

    Args:
        vae: AutoencoderKL.
        transformer: AuraFlowTransformer2DModel.
        text_encoder: UMT5EncoderModel.
        tokenizer: Its tokenizer.
        process: The flow it was trained under.
        device: See :class:`LatentTeacher`.
        dtype: See :class:`LatentTeacher`.
        presets: Settings by editor; None is those of ``conf/teacher/aura_flow.yaml``.
    """

    choice = "aura_flow"
    blocks_name = "joint_transformer_blocks"
    read = staticmethod(_read)

    def __init__(
        self,
        vae: Any,
        transformer: Any,
        text_encoder: Any,
        tokenizer: Any,
        process: RectifiedFlow,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        presets: Mapping[str, Any] | None = None,
    ) -> None:
        # Only for its encode_prompt: it draws nothing.
        parts: dict[str, Any] = {"vae": None, "transformer": None, "scheduler": None}
        self._pipeline = AuraFlowPipeline(tokenizer, text_encoder, **parts)
        encode, cells = self._encode_prompts, flux_cells(vae)
        super().__init__(
            vae, transformer, [text_encoder], encode, process, cells, presets, device, dtype
        )
        self._flow = process

    @torch.no_grad()
    def _encode_prompts(self, prompts: list[str]) -> Conditioning:
        encoded: Any = self._pipeline.encode_prompt(
            prompts,
            do_classifier_free_guidance=False,
            device=self._device,
            max_sequence_length=_TOKENS,
        )
        return Conditioning(encoded[0])  # the padding's rows are zeros already

    def _forward(self, network: Any, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """What the network says, of z_t's type and shape; an odd side ends in copies."""
        height, width = z_t.shape[-2:]
        places = self.transformer.config["pos_embed_max_size"]
        self._check_places(z_t, self.patch * int(places**0.5))
        velocity = network(
            whole_patches(z_t.to(self._device, self._dtype), self.patch),
            encoder_hidden_states=text.embeddings.to(self._device, self._dtype),
            timestep=self._flow.sigma(t.to(self._device), z_t.new_ones(len(z_t))).to(self._dtype),
        ).sample
        return velocity[..., :height, :width].to(z_t.dtype)


AURA_FLOW_SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "aura_flow": {
        "transformer": {"pos_embed_max_size": 9216},  # else as diffusers has it
        "vae": {"sample_size": 1024, "block_out_channels": (128, 256, 512, 512)},
        "text": {"vocab_size": 32128, "d_model": 2048, "d_ff": 5120, "num_layers": 24},
        "heads": {"num_heads": 32},
    },
    "tiny": {
        "transformer": {
            "pos_embed_max_size": 64,
            "num_mmdit_layers": 2,
            "num_single_dit_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "joint_attention_dim": 20,
            "caption_projection_dim": 32,
        },
        "vae": {"sample_size": 32, "block_out_channels": (8, 8, 16), "norm_num_groups": 4},
        "text": {"d_model": 20, "d_kv": 8, "d_ff": 32, "num_layers": 1},
        "heads": {"num_heads": 2},
    },
}
"""By size: what the networks are built from, as their configs."""


def build_random_aura_flow(
    folder: str | Path, size: str = "tiny", seed: int = 0, dtype: str | torch.dtype = "float32"
) -> Path:
    """Writes an AuraFlow folder of random weights, aside first and then renamed.

    Args:
        folder: Where to; must not exist, or be empty.
        size: "aura_flow" (the true shape) or "tiny" (latents a quarter of the picture's side).
        seed: Of the weights. The global random state is left as it was.
        dtype: Of the weights: "float32", "float16", "bfloat16".

    Raises:
        UserError: ``size`` is unknown, or the folder holds files.
    """
    require("size", size, choice(*AURA_FLOW_SHAPES))
    shape, tokenizer = AURA_FLOW_SHAPES[size], letter_tokenizer()
    levels = len(shape["vae"]["block_out_channels"])
    vae: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "layers_per_block": 2 if size == "aura_flow" else 1,
        "scaling_factor": 0.13025,
        **shape["vae"],
    }
    text: dict[str, Any] = {"vocab_size": len(tokenizer), "feed_forward_proj": "gated-gelu"}
    text |= {"tie_word_embeddings": False, **shape["text"], **shape["heads"]}
    networks = {
        "transformer": lambda: AuraFlowTransformer2DModel(**shape["transformer"]),
        "vae": lambda: AutoencoderKL(latent_channels=4, **vae),
        "text_encoder": lambda: UMT5EncoderModel(UMT5Config(**text)),
    }
    others: dict[str, Any] = {
        "tokenizer": tokenizer,
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=1.73),
    }
    index = {
        "_class_name": "AuraFlowPipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
        "transformer": ["diffusers", "AuraFlowTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    return write_random(
        folder, networks, others, index, seed, resolve_dtype(dtype, torch.device("cpu"))
    )
