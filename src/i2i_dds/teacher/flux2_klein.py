"""FLUX.2 klein as a teacher: a rectified flow that is told what a language model makes of a prompt.

The whole family in one file.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

from i2i_dds.checks import choice, require
from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.checkpoint import Checkpoint, Parts
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.flux_checkpoint import PATCH, flux_cells
from i2i_dds.teacher.mmdit import MMDiTTeacher, whole_patches
from i2i_dds.teacher.placement import resolve_dtype
from i2i_dds.teacher.random_weights import write_random

log = logging.getLogger(__name__)

_TOKENS = 512
"""Of a prompt in its chat, as diffusers has it."""

_LAYERS = (9, 18, 27)
"""Of the language model, whose hidden states stand side by side, as diffusers has it."""

_STEPS = 50
"""Diffusers' default, for which the shift of the timesteps is taken."""


def _read(checkpoint: Checkpoint) -> Parts:
    parts: Parts = {
        "vae": checkpoint.network(AutoencoderKLFlux2, "vae"),
        "transformer": checkpoint.network(Flux2Transformer2DModel, "transformer"),
        **checkpoint.language_model(Qwen3ForCausalLM),
    }
    checkpoint.checked(parts, clip_lengths=False)
    vae, config, text = (parts[one].config for one in ("vae", "transformer", "text_encoder"))
    checkpoint.refuse_misfits(
        "transformer",
        {
            "channels": (config.in_channels, vae.latent_channels * PATCH**2),
            "a text of width": (config.joint_attention_dim, text.hidden_size * len(_LAYERS)),
            "a scale of guidance": (config.guidance_embeds, False),
        },
    )
    if text.num_hidden_layers < max(_LAYERS):
        raise UserError(
            f"path: the text encoder of '{checkpoint.called}' has {text.num_hidden_layers} layers, "
            f"and layer {max(_LAYERS)} is asked for; give a folder whose parts belong together"
        )
    tokens = (flux_cells(parts["vae"]) // PATCH) ** 2
    return {**parts, "process": _flow(checkpoint.scheduler(), tokens)}


def _flow(scheduler: Mapping[str, Any], tokens: int) -> RectifiedFlow:
    """The flow of a picture of so many tokens, its shift as diffusers' pipeline has it."""
    if scheduler.get("use_dynamic_shifting"):
        kind = scheduler.get("time_shift_type", "exponential")
        if kind != "exponential":
            raise UserError(f"scheduler.time_shift_type: {kind!r:.60} is not supported; give one "
                            "with a fixed shift")  # fmt: skip
        shift = math.exp(compute_empirical_mu(tokens, _STEPS))
        scheduler = {**scheduler, "use_dynamic_shifting": False, "shift": shift}
    return RectifiedFlow.from_scheduler_config(scheduler)


class Flux2KleinTeacher(MMDiTTeacher):
    """A frozen FLUX.2 klein in diffusers' format.

    The network predicts the velocity ``v = eps - z`` and is told ``s_t``, the share of noise. A
    latent has a cell for 8 x 8 pixels, and four cells are one token. The models of 4 steps
    were distilled from guided ones: for these the editors' guidance is 1.

    Args:
        vae: AutoencoderKLFlux2.
        transformer: Flux2Transformer2DModel.
        text_encoder: Qwen3ForCausalLM, of which hidden states are used.
        tokenizer: Its tokenizer, which sets a prompt in a chat.
        process: The flow it was trained under.
        device: See :class:`LatentTeacher`.
        dtype: See :class:`LatentTeacher`.
        presets: Settings by editor; None is those of ``conf/teacher/flux2_klein.yaml``.
    """

    choice = "flux2_klein"
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
        self._pipeline = Flux2KleinPipeline(**parts, text_encoder=text_encoder, tokenizer=tokenizer)
        encode, cells = self._encode_prompts, flux_cells(vae)
        super().__init__(
            vae, transformer, [text_encoder], encode, process, cells, presets, device, dtype
        )
        self._flow = process

    @property
    def patch(self) -> int:
        """Two: the network itself is given packed cells, and says one."""
        return PATCH

    @torch.no_grad()
    def _encode_prompts(self, prompts: list[str]) -> Conditioning:
        """``embeddings`` (B, L, D), those of padding among them, as the network was trained."""
        for prompt in prompts:
            self._report_lost_words(prompt)
        layers: Any = _LAYERS
        embeddings, _ = self._pipeline.encode_prompt(
            prompts,
            device=self._device,
            max_sequence_length=_TOKENS,
            text_encoder_out_layers=layers,
        )
        return Conditioning(embeddings)

    def _report_lost_words(self, prompt: str) -> None:
        tokenizer: Any = self._pipeline.tokenizer
        around, own = (
            len(tokenizer.apply_chat_template(
                [{"role": "user", "content": words}], add_generation_prompt=True,
                enable_thinking=False, return_dict=False,
            ))
            for words in ("", prompt)
        )  # fmt: skip
        if own > _TOKENS:
            log.warning(
                "prompt longer than %d tokens; the teacher does not see the end of: %s",
                _TOKENS - around,
                prompt,
            )

    def _forward(self, network: Any, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """What the network says, of z_t's type and shape; an odd side ends in copies."""
        height, width = z_t.shape[-2:]
        z = whole_patches(z_t.to(self._device, self._dtype), PATCH)
        patches = Flux2KleinPipeline._patchify_latents(z)
        places = Flux2KleinPipeline._prepare_latent_ids(patches[:1]).to(self._device)
        velocity = network(
            hidden_states=Flux2KleinPipeline._pack_latents(patches),
            encoder_hidden_states=text.embeddings.to(self._device, self._dtype),
            timestep=self._flow.sigma(t.to(self._device), z.new_ones(len(z))),
            img_ids=places,
            txt_ids=Flux2KleinPipeline._prepare_text_ids(text.embeddings[:1]).to(self._device),
            guidance=None,
        ).sample
        unpacked = velocity.transpose(1, 2).unflatten(2, patches.shape[-2:])
        unpacked = Flux2KleinPipeline._unpatchify_latents(unpacked)
        return unpacked[..., :height, :width].to(z_t.dtype)


FLUX2_KLEIN_SHAPES: dict[str, dict[str, dict[str, Any]]] = {
    "klein_4b": {
        "transformer": {
            "num_layers": 5,
            "num_single_layers": 20,
            "num_attention_heads": 24,
            "joint_attention_dim": 7680,
        },
        "vae": {"sample_size": 1024},
        "text": {
            "vocab_size": 151936,
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 40960,
            "tie_word_embeddings": True,
        },
    },
    "tiny": {
        "transformer": {
            "num_layers": 2,
            "num_single_layers": 1,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "joint_attention_dim": 24,
            "axes_dims_rope": (4, 4, 4, 4),
        },
        "vae": {
            "sample_size": 32,
            "block_out_channels": (8, 8, 16),
            "down_block_types": ("DownEncoderBlock2D",) * 3,
            "up_block_types": ("UpDecoderBlock2D",) * 3,
            "layers_per_block": 1,
            "norm_num_groups": 4,
        },
        "text": {
            "hidden_size": 8,
            "intermediate_size": 16,
            "num_hidden_layers": 27,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "max_position_embeddings": 1024,
            "tie_word_embeddings": True,
        },
    },
}
"""By size: what the networks are built from, as their configs; the rest is as they have it."""

_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_random_flux2_klein(
    folder: str | Path, size: str = "tiny", seed: int = 0, dtype: str | torch.dtype = "float32"
) -> Path:
    """Writes a FLUX.2 klein folder of random weights, aside first and then renamed.

    Args:
        folder: Where to; must not exist, or be empty.
        size: "klein_4b" (the true shape of 4 billion weights, and as many in the text encoder) or
            "tiny" (latents a quarter of the picture's side).
        seed: Of the weights. The global random state is left as it was.
        dtype: Of the weights: "float32", "float16", "bfloat16".

    Raises:
        UserError: ``size`` is unknown, or the folder holds files.
    """
    require("size", size, choice(*FLUX2_KLEIN_SHAPES))
    tokenizer = _byte_tokenizer()
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0)
    index = {
        "_class_name": "Flux2KleinPipeline",
        "is_distilled": False,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3ForCausalLM"],
        "tokenizer": ["transformers", "Qwen2TokenizerFast"],
        "transformer": ["diffusers", "Flux2Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKLFlux2"],
    }
    return write_random(
        folder,
        _builders(FLUX2_KLEIN_SHAPES[size], len(tokenizer)),
        {"tokenizer": tokenizer, "scheduler": scheduler},
        index,
        seed,
        resolve_dtype(dtype, torch.device("cpu")),
    )


def _builders(shape: dict[str, dict[str, Any]], words: int) -> dict[str, Callable[[], Any]]:
    def vae() -> AutoencoderKLFlux2:
        built = AutoencoderKLFlux2(**shape["vae"])
        statistics: Any = built.bn
        statistics.running_mean.normal_()  # those of a new one would not be seen
        statistics.running_var.uniform_(0.5, 2)
        return built

    return {
        "transformer": lambda: Flux2Transformer2DModel(
            guidance_embeds=False, **shape["transformer"]
        ),
        "vae": vae,
        "text_encoder": lambda: Qwen3ForCausalLM(
            Qwen3Config(**{"vocab_size": words, **shape["text"]})
        ),
    }


def _byte_tokenizer() -> Qwen2Tokenizer:
    """A tokenizer of Qwen's make whose tokens are single bytes, and the marks of a chat."""
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocab = {token: i for i, token in enumerate([*sorted(ByteLevel.alphabet()), *marks])}
    tokenizer = Qwen2Tokenizer(
        vocab=vocab, merges=[], extra_special_tokens=marks[1:], model_max_length=131072
    )
    tokenizer.chat_template = _CHAT
    return tokenizer
