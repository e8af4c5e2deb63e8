"""PIE-Bench's measures as metrics, see :mod:`i2i_dds.metrics.piebench`."""

from __future__ import annotations

from torch import Tensor

from i2i_dds.evaluation.metric import Measured, Metric
from i2i_dds.metrics import piebench as pie


def structure_distance(measured: Measured) -> Tensor:
    """Of the whole pictures, x 10^3; NaN without its network."""
    structure = measured.networks.structure
    if structure is None:
        return measured.unknown
    return pie.structure_distance(measured.x_src, measured.x, structure)


def psnr(measured: Measured) -> Tensor:
    """Outside the mask, dB."""
    return pie.psnr_outside(measured.x_src, measured.x, _mask(measured))


def lpips(measured: Measured) -> Tensor:
    """Outside the mask, x 10^3; NaN without its network."""
    if measured.networks.lpips is None:
        return measured.unknown
    return pie.lpips_outside(measured.x_src, measured.x, _mask(measured))


def mse(measured: Measured) -> Tensor:
    """Outside the mask, x 10^4."""
    return pie.mse_outside(measured.x_src, measured.x, _mask(measured))


def ssim(measured: Measured) -> Tensor:
    """Outside the mask, x 10^2."""
    return pie.ssim_outside(measured.x_src, measured.x, _mask(measured))


def clip_whole(measured: Measured) -> Tensor:
    """CLIP score of the edits, 100 x cosine."""
    return pie.clip_whole(measured.x, measured.prompts, measured.networks.clip)


def clip_edited(measured: Measured) -> Tensor:
    """CLIP score of what is in the mask, 100 x cosine."""
    mask, clip = _mask(measured), measured.networks.clip
    return pie.clip_edited(measured.x, mask, measured.prompts, clip)


PIE_METRICS: dict[str, Metric[Measured]] = {
    metric.name: metric
    for metric in (
        Metric(
            "structure_distance",
            "structure distance",
            "x 10^3",
            2,
            False,
            structure_distance,
        ),
        Metric("psnr", "PSNR outside the mask", "dB", 2, True, psnr),
        Metric("lpips", "LPIPS outside the mask", "x 10^3", 2, False, lpips),
        Metric("mse", "MSE outside the mask", "x 10^4", 2, False, mse),
        Metric("ssim", "SSIM outside the mask", "x 10^2", 2, True, ssim),
        Metric("clip_whole", "CLIP score", "100 x cosine", 2, True, clip_whole),
        Metric(
            "clip_edited",
            "CLIP score of the edited region",
            "100 x cosine",
            2,
            True,
            clip_edited,
        ),
    )
}
"""By name, in the order of the published tables."""


def _mask(measured: Measured) -> Tensor:
    assert measured.mask is not None
    return measured.mask
