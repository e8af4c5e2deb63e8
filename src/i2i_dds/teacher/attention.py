"""What the self-attention of a teacher's UNet gives out, with a graph back to what it was asked."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from torch import Tensor

from i2i_dds.errors import UserError
from i2i_dds.teacher.interface import Teacher

BLOCKS = {"up": "up_blocks.", "all": ""}
"""Which layers: the names of their modules begin so."""


def self_attention(
    teacher: Teacher, z_t: Tensor, t: Tensor, text: Tensor, blocks: str = "all"
) -> list[Tensor]:
    """Outputs of the self-attention layers in one pass, without guidance.

    Unlike :meth:`Teacher.predict_noise` it keeps the graph where the caller has gradients on, so
    that a loss of the features can be differentiated with respect to z_t. The frozen weights
    receive nothing.

    Args:
        teacher: One with a diffusers UNet2DConditionModel as its ``unet``.
        z_t: Noisy latents, (B, C, h, w).
        t: Timesteps, long (B,).
        text: Embeddings, (B, L, D).
        blocks: "up", those of the decoder alone, or "all".

    Returns:
        One tensor (B, N, C') for each layer, in the order of evaluation, of the teacher's type;
        N is the layer's number of places, at most h w.

    Raises:
        UserError: The teacher has no UNet, or it has no self-attention there.
    """
    if blocks not in BLOCKS:
        raise UserError(f"blocks: {blocks!r} is not allowed; give one of {', '.join(BLOCKS)}")
    unet: Any = getattr(teacher, "unet", None)
    if unet is None:
        raise UserError(
            f"score: a {type(teacher).__name__} has no UNet to look into; "
            "give a Stable Diffusion teacher, or another score"
        )
    layers = [
        module
        for name, module in unet.named_modules()
        if name.startswith(BLOCKS[blocks]) and name.endswith(".attn1")
    ]
    if not layers:
        raise UserError(f"blocks: this UNet has no self-attention in {blocks!r}; give another")
    caught: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
        caught.append(output)

    teacher.evaluations += len(z_t)
    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_hook(keep).remove)
        unet(
            z_t.to(teacher.device, teacher.dtype),
            t.to(teacher.device),
            encoder_hidden_states=text.to(teacher.device, teacher.dtype),
        )
    return caught
