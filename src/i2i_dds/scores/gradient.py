"""The guard and mask of a score's gradient, and the one way from a gradient to a loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.errors import UserError


@dataclass(frozen=True)
class Gradient:
    """A gradient with respect to the latent, as :func:`guarded` gives it.

    Attributes:
        value: (B, C, h, w), finite, without a graph.
        nonfinite: How many of its entries were NaN or infinite and were replaced by 0; a number ()
            on the gradient's device, for to read it there means to wait for the device.
    """

    value: Tensor
    nonfinite: Tensor


def guarded(grad: Tensor, mask: Tensor | None = None) -> Gradient:
    """A score's raw gradient, made safe to step along and held inside the mask.

    Args:
        grad: What a score returned, (B, C, h, w).
        mask: Where to edit, (B or 1, 1, h, w) in [0, 1]; None is everywhere.

    Returns:
        The gradient with 0 for each NaN or infinite entry, and exactly +0 where the mask is 0.
        Broken entries are counted once each, outside the mask as well.

    Raises:
        UserError: The mask has another shape.
    """
    bad = ~torch.isfinite(grad)
    value = grad.masked_fill(bad, 0.0)
    return Gradient(value if mask is None else masked(value, mask), bad.sum())


def masked(grad: Tensor, mask: Tensor) -> Tensor:
    """grad times mask, and exactly +0 where the mask is 0, so that a step leaves z's bits alone.

    Args:
        grad: (B, C, h, w).
        mask: (B or 1, 1, h, w), in [0, 1]; 1 is editable.

    Raises:
        UserError: The mask has another shape.
    """
    batch, _, height, width = grad.shape
    if mask.shape not in {(1, 1, height, width), (batch, 1, height, width)}:
        raise UserError(
            f"mask: shape {tuple(mask.shape)} does not fit the latent; "
            f"give ({batch} or 1, 1, {height}, {width})"
        )
    mask = mask.to(grad)
    return torch.where(mask > 0, grad * mask, torch.zeros_like(grad))


def gradient_to_loss(z: Tensor, grad: Tensor, weight: Tensor | None = None) -> Tensor:
    """A scalar whose derivative with respect to z is ``grad / B``.

    It is ``0.5 ||z - sg(z - g)||^2 / B``, summed over all entries, where sg stops the gradient:

        d loss / d z = (z - sg(z - g)) / B = g / B.

    Written with ``z - sg(z - g) = (z - sg(z)) + g``, whose bracket is exactly 0, nothing of a
    small g is lost to rounding beside a large z.

    Args:
        z: The latent (or the student's output) that the gradient is pushed into, (B, C, h, w).
        grad: :attr:`Gradient.value`, (B, C, h, w).
        weight: Of each row, (B,): row i's derivative is then ``w_i g_i / sum(w)``; None is all 1.
    """
    residual = (z - z.detach()) + grad.detach()
    return 0.5 * mean_over_rows(residual.square(), weight)


def mean_over_rows(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """The sum over all entries of a row, (B, C, h, w), averaged over rows of a weight (B,)."""
    if weight is None:
        return values.sum() / len(values)
    return (values.flatten(1).sum(1) * weight).sum() / weight.sum()
