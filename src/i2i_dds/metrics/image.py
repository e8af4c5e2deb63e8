"""Measures of pictures that torchmetrics has not: one number an item, or restricted to a mask."""

from __future__ import annotations

import torch
from torch import Tensor

PSNR_FLOOR = 1e-10
"""Least mean squared error: identical pictures have 10 log10(4 / 1e-10) = 106 dB, not infinity."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def psnr(x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of each item in dB, for the data range 2 of [-1, 1].

    Args:
        x: Pictures (B, C, H, W) in [-1, 1].
        y: What they are compared with, the same shape.
        mask: (B or 1, 1, H, W); pixels where it is above 0 count, by default all.

    Returns:
        float64 (B,), at most 106 dB; NaN for an item of which no pixel counts.
    """
    error = (x.double() - y.double()).square().mean(1, keepdim=True)
    if mask is None:
        mse = error.mean((1, 2, 3))
    else:
        counts = (mask > 0).to(error).expand_as(error)
        mse = (error * counts).sum((1, 2, 3)) / counts.sum((1, 2, 3))
    # clamp keeps NaN
    return 10 * torch.log10(4 / mse.clamp(min=PSNR_FLOOR))


def sharpness(x: Tensor) -> Tensor:
    """Mean length of the luminance's gradient, per pixel step, for each item.

    Luminance is in [0, 1] (BT.601 weights) and its gradient is the pair of forward differences.
    A flat picture has 0; blur lowers it. It grows with detail and with noise alike, so it compares
    pictures of the same scenes at the same size.

    Args:
        x: Pictures (B, 3, H, W) in [-1, 1], both sides at least 2.

    Returns:
        float64 (B,), from 0 to sqrt(2).
    """
    weights = torch.tensor(_LUMA, dtype=torch.float64, device=x.device).reshape(3, 1, 1)
    luma = ((x.double() + 1) / 2 * weights).sum(1)
    across = luma[:, :-1, 1:] - luma[:, :-1, :-1]
    down = luma[:, 1:, :-1] - luma[:, :-1, :-1]
    return torch.hypot(across, down).mean((1, 2))


def collapse(outputs: Tensor, references: Tensor) -> float:
    """How far the outputs of different inputs have become the same picture, in [0, 1].

    ``1 - min(1, d(outputs) / d(references))``, where d is the mean over items of the Euclidean
    distance to the nearest other item. 0: the outputs are as different from one another as the
    references are (or more so); 1: each output is a copy of another one. The nearest other item,
    and not all of them, so that outputs which fall into a few classes of copies are noticed too.

    Args:
        outputs: (N, ...), what a network made of N different inputs.
        references: (N, ...), the ground truths where they are known, else the inputs.

    Returns:
        The scalar; NaN for fewer than two items or where the references themselves are copies.
    """
    if len(outputs) < 2:
        return float("nan")
    least = _mean_nearest(references)
    if least == 0:
        return float("nan")
    return 1 - min(1.0, _mean_nearest(outputs) / least)


def _mean_nearest(x: Tensor) -> float:
    flat = x.flatten(1).float()
    # The matrix-product shortcut would find a distance between equal rows.
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    distance.fill_diagonal_(torch.inf)
    return distance.min(1).values.double().mean().item()
