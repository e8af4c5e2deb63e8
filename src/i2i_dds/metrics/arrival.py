"""Whether a dragged thing arrived, where the true picture is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = 0.7
"""Least correlation at which something counts as found. What the pocket autoencoder makes of the
ground truths of 96 validation drags has more in 95 of 100: 0.96 of heads, 0.74 of what is worn,
0.82 of ears. A bow tie that a person takes for a smear had 0.54."""
_FLAT = 1e-6  # variance per value below which a picture, in [-1, 1], is taken to be flat
_WHOLE = 0.75  # the share of a template that must be inside the picture


@dataclass(frozen=True)
class Arrival:
    """Where a thing was found.

    Attributes:
        success: whether it arrived.
        offset: (dx, dy) in pixels from where it should be to where it correlates best.
        score: the correlation there, in [-1, 1].
        score_before: the correlation where the thing was before the drag.
    """

    success: bool
    offset: tuple[int, int]
    score: float
    score_before: float


def arrived(
    edited: Tensor,
    truth: Tensor,
    template: Tensor,
    before: tuple[float, float],
    tolerance: float,
    reach: int | None = None,
    least: float = LEAST,
) -> Arrival:
    """Whether the thing that `template` covers in the true picture is there in the edited one.

    The thing is cut out of the true picture and correlated with the edited one at every whole
    displacement up to `reach` (`correlations`). It arrived if the best displacement is at most
    `tolerance` from zero, if its correlation is above the one at the place where the thing was,
    and if it is at least `least`. A drag of several
    things (two ears) succeeded if all of them arrived.

    It is a correlation and no certainty: of Critters' ear drags one or two in a hundred count as
    arrived in the unchanged source, since a changed ear's tip resembles another part of the old
    ear (of heads and accessories none of 160). Give the source's own rate beside a method's.

    Args:
        edited: Picture (3, H, W) in [-1, 1].
        truth: The picture that it should be, the same shape.
        template: The thing's share in each pixel of `truth`, (1, H, W) in [0, 1].
        before: (dx, dy) in pixels from where the thing should be to where it was: handle - target.
        tolerance: Pixels; one latent cell is `teacher.vae_scale_factor`.
        reach: Pixels, by default a quarter of the longer side; never less than `before`.
        least: See above.
    """
    was = tuple(round(d) for d in before)
    reach = max(*edited.shape[-2:]) // 4 if reach is None else reach
    reach = max(reach, *(abs(d) for d in was))
    scores = correlations(edited, truth, template, reach)
    best = int(scores.argmax())
    offset = (best % scores.shape[1] - reach, best // scores.shape[1] - reach)
    score, score_before = scores.max().item(), scores[was[1] + reach, was[0] + reach].item()
    near = math.hypot(*offset) <= tolerance
    # Equal correlations differ by roundings, and a flat picture's are all equal.
    success = near and score > score_before + 1e-6 and score >= least
    return Arrival(success, offset, score, score_before)


def correlations(edited: Tensor, truth: Tensor, template: Tensor, reach: int) -> Tensor:
    """Normalized cross-correlation of a thing with a picture, over displacements.

    ``sum w (T - mean T) (E - mean E) / (|T - mean T| |E - mean E|)`` over the thing's pixels and
    the three colors alike, means and norms weighted with w too. T is the true picture; E the
    edited one, displaced. Of a thing that reaches over the edge the part inside counts, as long
    as it is three quarters; less of it, or a flat picture, scores 0.

    Args:
        edited: Picture (3, H, W) in [-1, 1].
        truth: The same shape.
        template: The weights w, (1, H, W), not all 0.
        reach: Largest displacement in pixels along either axis.

    Returns:
        float64 (2 reach + 1, 2 reach + 1); entry [reach + dy, reach + dx] is displacement (dx, dy).
    """
    rows, columns = template[0].any(1).nonzero()[:, 0], template[0].any(0).nonzero()[:, 0]
    top, left = int(rows[0]), int(columns[0])
    bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
    box = (slice(None), slice(top, bottom), slice(left, right))

    def window(x: Tensor) -> Tensor:
        return F.pad(x, [reach] * 4)[:, top : bottom + 2 * reach, left : right + 2 * reach]

    picture, thing = edited.double(), truth[box].double()
    w = template[box].double().expand_as(thing)
    e, inside = window(picture), window(torch.ones_like(picture))
    n = _slide(w, inside).clamp(min=1e-9)
    t_mean, e_mean = _slide(w * thing, inside) / n, _slide(w, e) / n
    t_var = _slide(w * thing**2, inside) / n - t_mean**2
    e_var = _slide(w, e**2) / n - e_mean**2
    covariance = _slide(w * thing, e) / n - t_mean * e_mean
    known = (n >= _WHOLE * w.sum()) & (t_var > _FLAT) & (e_var > _FLAT)
    score = covariance / (t_var * e_var).clamp(min=_FLAT**2).sqrt()
    return torch.where(known, score, 0.0)


def _slide(kernel: Tensor, x: Tensor) -> Tensor:
    """``sum_c,i,j kernel[c, i, j] x[c, i + dy, j + dx]`` for all (dy, dx) that lie in x."""
    size = x.shape[-2:]
    # A circular correlation as long as x wraps round only where the kernel leaves it.
    spectrum = torch.fft.rfft2(x) * torch.fft.rfft2(kernel, s=size).conj()
    sums = torch.fft.irfft2(spectrum.sum(0), s=size)
    return sums[: size[0] - kernel.shape[1] + 1, : size[1] - kernel.shape[2] + 1]
