"""PIE-Bench's measures of an edit (Ju et al., PnP Inversion, ICLR 2024), in its tables' units.

Read from `evaluation/evaluate.py` and `evaluation/matrics_calculator.py` of
github.com/cure-lab/PnPInversion. What they decide, and what is easily done otherwise:

- Outside the mask means: both pictures are black inside it and then compared over **all** pixels,
  so that a large mask makes an edit look better. Where nothing is outside, there is no number.
- PSNR, MSE and SSIM take pictures in [0, 1].
- LPIPS is that of SqueezeNet, at the picture's own size.
- The structure distance normalizes pictures in [0, 255] with the mean and deviation for [0, 1].
- The edited region's CLIP score is that of the edited picture, black outside the mask.

Two differences remain. Equal pictures have a PSNR of 106 dB here and infinity there, and a
negative CLIP score is not set to 0. The published CLIP is OpenAI's ViT-L/14, whose pictures are
made small bicubically; `Clip` does so bilinearly.

Everywhere x is the source picture, y the edited one, (B, 3, H, W) in [-1, 1], and the mask
(B or 1, 1, H, W) is above 0 where the edit belongs. Each result is (B,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from i2i_dds.metrics.clip import Clip
from i2i_dds.metrics.image import psnr
from i2i_dds.metrics.perceptual import lpips_distance


def structure_distance(x: Tensor, y: Tensor, structure: Callable[..., Tensor]) -> Tensor:
    """Structure distance of the whole pictures, x 10^3."""
    return 1e3 * structure(x, y, peak=255.0)


def psnr_outside(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """PSNR outside the mask, dB; NaN where the mask is the picture."""
    there, here = _outside(x, y, mask)
    return _or_nan(psnr(there, here), mask)


def mse_outside(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of [0, 1] outside the mask, x 10^4; NaN where the mask is the picture."""
    there, here = _outside(x, y, mask)
    error = (there.double() - here.double()) / 2
    return _or_nan(1e4 * error.square().mean((1, 2, 3)), mask)


def ssim_outside(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """SSIM outside the mask (Gaussian of deviation 1.5), x 10^2; NaN where the mask is the picture.

    There is a window of 11 x 11 round every pixel, which sees the picture reflected at its border;
    sides are at least 6 pixels.
    """
    there, here = ((item.double() + 1) / 2 for item in _outside(x, y, mask))
    found = structural_similarity_index_measure(there, here, reduction="none", data_range=1.0)
    return _or_nan(100 * cast(Tensor, found), mask)


def lpips_outside(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """LPIPS (SqueezeNet) outside the mask, x 10^3; NaN where the mask is the picture.

    Raises:
        UserError: The `lpips` extra is not installed.
    """
    there, here = _outside(x, y, mask)
    return _or_nan(1e3 * lpips_distance(there, here, net="squeeze"), mask)


def clip_whole(y: Tensor, targets: Sequence[str], clip: Clip) -> Tensor:
    """CLIP score of the edited pictures with their target prompts, 100 x cosine."""
    return 100 * clip.score(y, targets)


def clip_edited(y: Tensor, mask: Tensor, targets: Sequence[str], clip: Clip) -> Tensor:
    """CLIP score of what is in the mask, 100 x cosine; NaN where nothing is."""
    inside = mask > 0
    return _or_nan(100 * clip.score(_only(y, inside), targets), ~inside)


def _outside(x: Tensor, y: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    return _only(x, mask <= 0), _only(y, mask <= 0)


def _only(x: Tensor, part: Tensor) -> Tensor:
    """The pictures, black but for a part of them."""
    return torch.where(part, x, -1.0)


def _or_nan(values: Tensor, mask: Tensor) -> Tensor:
    """The values, NaN for items whose mask leaves nothing out."""
    return torch.where((mask <= 0).flatten(1).any(1), values, torch.nan)
