"""FLUX.1 as a teacher: a rectified flow over packed latents, dev with a guidance it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from torch import Tensor
from transformers import CLIPTextModel

from i2i_dds.checks import number, optional, require, text
from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.families import FLUX
from i2i_dds.teacher.folders import (
    check_lengths,
    check_numbers,
    check_tokens,
    read_checkpoint,
    weights_variant,
    whole_network,
    whole_t5,
    whole_tokenizer,
)
from i2i_dds.teacher.hooks import outputs_of
from i2i_dds.teacher.latent import LatentTeacher
from i2i_dds.teacher.loading import ATTENTION, COPY_AGAIN
from i2i_dds.teacher.placement import resolve_device, resolve_dtype
from i2i_dds.teacher.presets import presets_for

_PATCH = 2
"""Cells along the side of a token."""


class FluxTeacher(LatentTeacher):
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
    """

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
            _cells(vae),
            presets_for("flux") if presets is None else presets,
            device,
            dtype,
        )
        self._flow = process
        self.distilled_guidance = distilled_guidance

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
        distilled_guidance: float = 3.5,
    ) -> FluxTeacher:
        """Loads safetensors weights.

        Args:
            path: A diffusers FLUX.1 folder, or a hub id.
            device: See :class:`LatentTeacher`.
            dtype: See :class:`LatentTeacher`.
            revision: Branch, tag or commit of a hub id.
            variant: Of the weights' files; None is the plain ones, or where a folder has none,
                those that it has.
            local_files_only: True never downloads.
            presets: Settings by editor; None is those that ``conf/teacher`` has for ``path``.
            distilled_guidance: See the class.

        Raises:
            UserError: Nothing is there, it cannot be downloaded, or it is another kind of model.
        """
        for name, value in {"revision": revision, "variant": variant}.items():
            require(name, value, optional(text()))
        device = resolve_device(device)
        dtype = resolve_dtype(dtype, device)

        def read(source: str, cached: bool) -> dict[str, Any]:
            where: dict[str, Any] = {"revision": revision, "local_files_only": cached}
            return _read(source, dtype, where, variant)

        parts = read_checkpoint(path, FLUX, revision, local_files_only, read, variant)
        check_numbers(path, parts["vae"], parts["tokenizer"])
        check_tokens(path, parts)
        check_lengths(path, {name: parts[name] for name in ("tokenizer", "text_encoder")})
        _check_widths(path, parts)
        presets = presets_for(path, "flux") if presets is None else presets
        told = {"distilled_guidance": distilled_guidance, "presets": presets}
        return cls(**parts, **told, device=device, dtype=dtype)

    @property
    def transformer(self) -> Any:
        """The network that predicts, an MMDiT."""
        return self._network

    def self_attention(
        self, z_t: Tensor, t: Tensor, text: Conditioning, blocks: str = "all"
    ) -> list[Tensor]:
        """What joint attention gives out for the picture's tokens; see the interface.

        Those of the blocks with two streams. There is no decoder: "up" is their later half.
        """
        halves = {"all": 0, "up": len(self.transformer.transformer_blocks) // 2}
        if blocks not in halves:
            raise UserError(f"blocks: {blocks!r} is not allowed; give one of {', '.join(halves)}")
        layers = [block.attn for block in self.transformer.transformer_blocks[halves[blocks] :]]
        self.nfe += len(z_t)
        with outputs_of(layers) as outputs:
            self._forward(z_t, t, text)
        return [output[0] for output in outputs]

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

    def _forward(self, z_t: Tensor, t: Tensor, text: Conditioning) -> Tensor:
        """What the network says, of z_t's type and shape; an odd side ends in copies."""
        height, width = z_t.shape[-2:]
        z = z_t.to(self._device, self._dtype)
        z = F.pad(z, (0, -width % _PATCH, 0, -height % _PATCH), mode="replicate")
        batch, channels, rows, columns = z.shape
        guidance = None
        if self.transformer.config.guidance_embeds:
            guidance = torch.full((batch,), self.distilled_guidance, device=self._device)
        velocity = self.transformer(
            hidden_states=FluxPipeline._pack_latents(z, batch, channels, rows, columns),
            timestep=self._flow.sigma(t.to(self._device), z.new_ones(batch)),
            guidance=guidance,
            pooled_projections=text["pooled"].to(self._device, self._dtype),
            encoder_hidden_states=text.embeddings.to(self._device, self._dtype),
            txt_ids=torch.zeros(text.embeddings.shape[1], 3, device=self._device),
            img_ids=FluxPipeline._prepare_latent_image_ids(
                batch, rows // _PATCH, columns // _PATCH, self._device, torch.float32
            ),
        ).sample
        unpacked = FluxPipeline._unpack_latents(velocity, rows, columns, vae_scale_factor=1)
        return unpacked[..., :height, :width].to(z_t.dtype)


def _cells(vae: Any) -> int:
    """Side of the latents of a picture of the size that the model was made for."""
    size = vae.config.sample_size
    if not isinstance(size, int) or size < 1:
        raise UserError(f"path: the VAE's sample_size is {size!r:.60}; {COPY_AGAIN}")
    return size // 2 ** (len(vae.config.block_out_channels) - 1)


def _read(
    source: str, dtype: torch.dtype, where: dict[str, Any], variant: str | None
) -> dict[str, Any]:
    files = {**where, "variant": variant or weights_variant(source, "transformer")}
    config = FlowMatchEulerDiscreteScheduler.load_config(source, subfolder="scheduler", **where)
    networks = {"vae": AutoencoderKL, "transformer": FluxTransformer2DModel}
    parts: dict[str, Any] = {
        name: whole_network(kind, source, name, torch_dtype=dtype, **files)
        for name, kind in networks.items()
    }
    parts["process"] = RectifiedFlow.from_scheduler_config(
        cast("dict[str, Any]", config), tokens=(_cells(parts["vae"]) // _PATCH) ** 2
    )
    parts["tokenizer"] = whole_tokenizer(source, "tokenizer", **where)
    parts |= whole_t5(source, "_2", dtype, where, {"variant": files["variant"]})
    parts["text_encoder"] = whole_network(
        CLIPTextModel, source, "text_encoder", dtype=dtype, attn_implementation=ATTENTION, **files
    )
    return parts


def _check_widths(path: str, parts: dict[str, Any]) -> None:
    config = parts["transformer"].config
    pairs = {
        "channels": (config.in_channels, parts["vae"].config.latent_channels * _PATCH**2),
        "a text of width": (config.joint_attention_dim, parts["text_encoder_2"].config.d_model),
        "a pooled text of width": (
            config.pooled_projection_dim,
            parts["text_encoder"].config.hidden_size,
        ),
    }
    for what, (wanted, has) in pairs.items():
        if wanted != has:
            raise UserError(
                f"path: the transformer of '{path}' takes {what} {wanted} and its other parts "
                f"give {has}; give a plain text-to-image model whose parts belong together"
            )
