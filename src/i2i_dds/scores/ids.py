"""Identity-preserving Distillation Sampling (Kim et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from i2i_dds.checks import check_fields, checked, integer, number
from i2i_dds.errors import UserError
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.graph import copied
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.weights import Weight, constant
from i2i_dds.teacher.guided import predict_guided_with_graph
from i2i_dds.teacher.interface import DifferentiableTeacher, Teacher


@dataclass(frozen=True)
class IDS:
    """DDS with a noise under which the teacher finds the source again.

    The clean latent that the teacher reads out of the noisy source is seldom the source. The
    fixed-point iterations move the noisy source until it is, as in the paper's algorithm 1
    (eqs. 6 and 7), and the noise that this amounts to (eq. 8) serves both sides of DDS (eq. 9):

        z_src_t <- z_src_t - lambda_fpr d/dz_src_t ||z_src - z0_hat(z_src_t, y_src)||   N times
        eps* = (z_src_t - alpha_t z_src) / sigma_t
        g = w(t) (eps_hat(alpha_t z_tgt + sigma_t eps*, y) - eps_hat(z_src_t, y_src)).

    Three iterations, ``lambda_fpr = 1``, the norm not squared and guidance in both places are
    those of the authors' code (github.com/shhh0620/IDS, utils/loss.py), from which the numbers of
    the equations are taken too. The norm is an item's own. The derivative goes through the frozen
    network: an iteration costs a pass of the source, guided, and its derivative.

    The equations know no kind of process; on rectified flows IDS is this project's use of them.
    Called as :class:`i2i_dds.scores.dds.DDS` is.

    Attributes:
        iterations: N, at least 0; 0 is DDS, but for rounding.
        lambda_fpr: Step of the iterations, at least 0.
        weight: w(t), see :mod:`i2i_dds.scores.weights`.
    """

    iterations: int = checked(integer(min=0), default=3)
    lambda_fpr: float = checked(number(min=0), default=1.0)
    weight: Weight = constant

    def __post_init__(self) -> None:
        check_fields(self)

    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """The gradient with respect to z_tgt, (B, C, h, w)."""
        if self.iterations == 0:
            return DDS(self.weight)(teacher, inputs)
        *_, (z_src_t, _) = self.fixed_point(teacher, inputs)
        process, t, z_src = teacher.process, inputs.t, inputs.z_src
        guided = (z_src_t - process.alpha(t, z_src) * z_src) / process.sigma(t, z_src)
        return DDS(self.weight)(teacher, replace(inputs, eps=guided, eps_src=None))

    def fixed_point(self, teacher: Teacher, inputs: ScoreInput) -> Iterator[tuple[Tensor, Tensor]]:
        """The iterations: the noisy source after each, and the distance (B,) before it.

        Raises:
            UserError: The teacher's answer cannot be differentiated.
        """
        if not isinstance(teacher, DifferentiableTeacher):
            raise UserError(
                f"score: IDS differentiates the teacher, which a {type(teacher).__name__} does not "
                "allow; give a teacher with noise_with_graph, or another score"
            )
        with torch.inference_mode(False), torch.no_grad():
            own = copied(inputs)
            # The empty prompt may have been embedded in inference mode too.
            empty = teacher.embed([""]) if own.text_neg is None else own.text_neg
            own = replace(own, text_neg=empty.clone())
            z_t = teacher.process.mix(own.z_src, own.eps, own.t)
        for _ in range(self.iterations):
            with torch.inference_mode(False), torch.enable_grad():
                z_t = z_t.detach().requires_grad_()
                distance = _distance(teacher, z_t, own)
                (slope,) = torch.autograd.grad(distance.sum(), z_t)
                z_t = (z_t - self.lambda_fpr * slope).detach()
            yield z_t, distance.detach()


def _distance(teacher: DifferentiableTeacher, z_src_t: Tensor, inputs: ScoreInput) -> Tensor:
    """How far the source is from what the teacher reads out of z_src_t, (B,)."""
    (eps,) = predict_guided_with_graph(
        teacher,
        noisy=(z_src_t,),
        texts=(inputs.text_src,),
        t=inputs.t,
        guidance_scale=inputs.guidance_scale,
        negative=inputs.text_neg,
    )
    clean = teacher.process.to_clean(z_src_t, eps, inputs.t)
    return (inputs.z_src - clean).flatten(1).norm(dim=1)
