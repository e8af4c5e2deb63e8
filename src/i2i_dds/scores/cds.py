"""Contrastive Denoising Score (Nam et al., CVPR 2024)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from i2i_dds.checks import check_fields, checked, choice, integer, number
from i2i_dds.errors import UserError
from i2i_dds.scores.contrast import at, generators_of, patch_nce, pick
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.graph import copied
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.weights import Weight, constant
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import AttentionTeacher, Teacher


@dataclass(frozen=True)
class CDS:
    """``DDS + lambda_contrastive h w dL/dz``: DDS, and a loss that keeps the source's structure.

    L is CUT's contrastive loss between the features that the teacher's self-attention has of the
    target and of the source, at the same t and eps, each with its own prompt and without
    guidance: a patch of the target shall be most like the source's patch at its place. It tells
    places apart, not what is there, so that a cat may become a lion where it stands. The gradient
    goes through the frozen UNet to z.

    The settings are those of the authors' code (github.com/HyelinNAM/ContrastiveDenoisingScore):
    256 patches, temperature 0.07, the layers of the up blocks, mean over patches and sum over
    layers. It adds 3.0 L to 2000 sum(z g) / (h w); in our units, where DDS counts once, this is
    ``lambda_contrastive = 3/2000`` times h w. As CUT's paper has it, targets' patches are compared
    with all of the source's; that code compares the source's with all of the target's, and has a
    second term of features averaged over 2 x 2.

    One pass of the UNet for both sides and its derivative come on top of DDS's own passes.
    Called as :class:`i2i_dds.scores.dds.DDS` is.

    Attributes:
        lambda_contrastive: Weight of the loss, at least 0; 0 is DDS, to the bit.
        patches: How many places of a layer are compared, at least 2; all of them where it has
            no more.
        temperature: Of the loss, above 0.
        blocks: Whose self-attention: "up", the decoder's, or "all".
        weight: w(t) of the DDS part, see :mod:`i2i_dds.scores.weights`.
    """

    lambda_contrastive: float = checked(number(min=0), default=0.0015)
    patches: int = checked(integer(min=2), default=256)
    temperature: float = checked(number(above=0), default=0.07)
    blocks: str = checked(choice("up", "all"), default="up")
    weight: Weight = constant
    takes_eps_src: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)

    @torch.no_grad()
    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """The gradient with respect to z_tgt, (B, C, h, w)."""
        dds = DDS(self.weight)(teacher, inputs)
        if self.lambda_contrastive == 0:
            return dds
        return dds + self.lambda_contrastive * self._slope(teacher, inputs)

    def structure_loss(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """L of each item, (B,), with a graph to z_tgt where gradients are on."""
        z_tgt, z_src, t, eps = inputs.z_tgt, inputs.z_src, inputs.t, inputs.eps
        process = teacher.process
        noisy = process.mix(z_tgt, eps, t), process.mix(z_src, eps, t)
        if not isinstance(teacher, AttentionTeacher):
            raise UserError(
                f"score: a {type(teacher).__name__} has no self-attention to look into; "
                "give a Stable Diffusion teacher, or another score"
            )
        texts = [text.expand(len(z_tgt)) for text in (inputs.text_tgt, inputs.text_src)]
        layers = teacher.self_attention(
            torch.cat(noisy), t.repeat(2), Conditioning.cat(texts), self.blocks
        )
        generators, losses = generators_of(eps), []
        for features in layers:
            target, source = features.chunk(2)
            places = pick(target, generators, self.patches)
            losses.append(patch_nce(at(target, places), at(source, places), self.temperature))
        return torch.stack(losses).sum(0)

    def _slope(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """``h w dL/dz``, (B, C, h, w). Summed over items, whose losses do not share anything."""
        height, width = inputs.z_tgt.shape[-2:]
        with torch.inference_mode(False), torch.enable_grad():
            leaf = inputs.z_tgt.detach().clone().requires_grad_()
            loss = self.structure_loss(teacher, replace(copied(inputs), z_tgt=leaf))
            # h w goes in before the derivative: in half precision that lifts it off the smallest
            # numbers there are.
            (slope,) = torch.autograd.grad(height * width * loss.sum(), leaf)
        return slope
