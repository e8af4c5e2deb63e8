"""Reads FLUX.1."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL, FluxTransformer2DModel

from i2i_dds.diffusion.process import RectifiedFlow
from i2i_dds.errors import UserError
from i2i_dds.teacher.checkpoint import Checkpoint, Parts
from i2i_dds.teacher.loading import COPY_AGAIN

PATCH = 2
"""Cells along the side of a token."""


def read_flux(checkpoint: Checkpoint, distilled_guidance: float = 3.5) -> Parts:
    """What :class:`FluxTeacher` takes, on the CPU.

    Args:
        checkpoint: Where the parts are.
        distilled_guidance: What dev is told; handed on.

    Raises:
        UserError: A part is damaged, or they do not belong together.
        OSError: One is absent.
    """
    vae = checkpoint.network(AutoencoderKL, "vae")
    transformer = checkpoint.network(FluxTransformer2DModel, "transformer")
    tokens = (flux_cells(vae) // PATCH) ** 2
    parts: Parts = {
        "vae": vae,
        "transformer": transformer,
        "process": RectifiedFlow.from_scheduler_config(checkpoint.scheduler(), tokens=tokens),
        **checkpoint.clip(),
        **checkpoint.t5("_2"),
    }
    config, pooled = transformer.config, parts["text_encoder"].config.hidden_size
    checkpoint.checked(parts)
    checkpoint.refuse_misfits(
        "transformer",
        {
            "channels": (config.in_channels, vae.config.latent_channels * PATCH**2),
            "a text of width": (config.joint_attention_dim, parts["text_encoder_2"].config.d_model),
            "a pooled text of width": (config.pooled_projection_dim, pooled),
        },
    )
    return {**parts, "distilled_guidance": distilled_guidance}


def flux_cells(vae: Any) -> int:
    """Side of the latents of a picture of the size that the model was made for.

    Raises:
        UserError: The config does not say.
    """
    size = vae.config.sample_size
    if not isinstance(size, int) or size < 1:
        raise UserError(f"path: the VAE's sample_size is {size!r:.60}; {COPY_AGAIN}")
    return size // 2 ** (len(vae.config.block_out_channels) - 1)
