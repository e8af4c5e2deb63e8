"""The two mean distances that are published for dragging, and image fidelity.

Both ask where, in the edited picture, the content of the handle is now, by the cosine similarity
of features (`i2i_dds.metrics.dift`), and how far that is from the target. They differ in all
else, and their numbers must not be compared:

| | DragDiffusion (Shi et al., CVPR 2024) | RegionDrag (Lu et al., ECCV 2024) |
|---|---|---|
| read from | `drag_bench_evaluation/run_eval_point_matching.py` | `region_utils/evaluator.py` |
| picture | its own size | stretched to 768 x 768, nearest pixel |
| features to picture size | bilinear | nearest |
| searched | the whole picture | circles round handle and target |
| unit | pixels | of width and height; its tables x 100 |
| over a benchmark | mean over all pairs of all items | mean over each item, then over items |
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.metrics.perceptual import lpips_distance

Point = tuple[float, float]
Pair = tuple[Point, Point]

REGIONDRAG_SIDE = 768
"""Side in pixels to which RegionDrag stretches pictures before their features are taken."""
_CHANNELS = 64  # interpolated at a time: all 1280 of Stable Diffusion at 512 pixels fill 1.3 GB


def mean_distance_dragdiffusion(
    features_src: Tensor, features_edit: Tensor, points: Sequence[Pair], size: tuple[int, int]
) -> float:
    """DragDiffusion's mean distance of one item, in pixels.

    To pool items as published, average `distances_dragdiffusion` over the pairs of all of them.

    Args:
        features_src: Of the source picture, (C, h, w).
        features_edit: Of the edited one, (C, h, w).
        points: Pairs of handle and target in pixels (x, y).
        size: (width, height) of the picture.
    """
    return distances_dragdiffusion(features_src, features_edit, points, size).mean().item()


def distances_dragdiffusion(
    features_src: Tensor, features_edit: Tensor, points: Sequence[Pair], size: tuple[int, int]
) -> Tensor:
    """From each target to where its handle is found, in pixels: float64 (N,).

    Features are interpolated (bilinear) to the picture's size. The one at the handle in the
    source is compared with those at all pixels of the edited picture; the first best one counts.
    Arguments as in `mean_distance_dragdiffusion`.
    """
    handles, targets = _pixels(points, size)
    dots, square = features_edit.new_zeros(()), features_edit.new_zeros(())
    for part_src, part_edit in zip(
        features_src.split(_CHANNELS), features_edit.split(_CHANNELS), strict=True
    ):
        sought = _bilinear(part_src, size)[:, handles[:, 1], handles[:, 0]]  # (C', N)
        searched = _bilinear(part_edit, size)
        dots = dots + torch.einsum("cn,chw->nhw", sought, searched)
        square = square + searched.square().sum(0)
    # The handle's own norm is the same everywhere and changes no order.
    similarity = dots / square.sqrt().clamp(min=1e-8)
    return (_best(similarity) - targets).double().norm(dim=1)


def mean_distance_regiondrag(
    features_src: Tensor, features_edit: Tensor, points: Sequence[Pair], size: tuple[int, int]
) -> float:
    """RegionDrag's mean distance of one item, times 100 as its tables have it.

    Features are brought to the picture's size by the nearest one. A pair is searched for only
    nearer than r to its handle or to its target, with r the pair's distance / sqrt(2), but at
    least 5 pixels; the first best pixel counts. The error is divided by width and height along
    its axes before its length is taken.

    Args:
        features_src: Of the source picture stretched to 768 x 768, (C, h, w).
        features_edit: Of the edited one, likewise.
        points: Pairs of handle and target in pixels (x, y) of the picture itself.
        size: (width, height) of the picture itself.
    """
    handles, targets = _pixels(points, size)
    # The similarity of the nearest features is the nearest similarity: compare, then enlarge.
    places = F.interpolate(_cells(features_src), size[::-1])[0, 0].long()
    sought = features_src.flatten(1)[:, places[handles[:, 1], handles[:, 0]]]  # (C, N)
    similarity = torch.einsum(
        "cn,chw->nhw", F.normalize(sought.float(), dim=0), F.normalize(features_edit.float(), dim=0)
    )
    similarity = F.interpolate(similarity[None], size[::-1])[0].cpu()
    similarity = similarity.masked_fill(~_circles(handles, targets, size), -math.inf)
    error = (targets - _best(similarity)).double() / torch.tensor(size)
    return 100 * error.norm(dim=1).mean().item()


def image_fidelity(x: Tensor, y: Tensor) -> Tensor:
    """``1 - LPIPS`` of each item (AlexNet, at 224 x 224), as DragDiffusion's evaluation has it.

    RegionDrag reports the LPIPS itself. The weights come from torchvision's server at first use.
    On Critters, where the answer is known, `i2i_dds.metrics.image.psnr` to it stands in.

    Args:
        x: Source pictures (B, 3, H, W) in [-1, 1].
        y: Edited ones, the same shape.

    Returns:
        (B,), at most 1.

    Raises:
        UserError: The `lpips` extra is not installed.
    """
    x, y = (F.interpolate(item.float(), (224, 224), mode="bilinear") for item in (x, y))
    return 1 - lpips_distance(x, y, key="image_fidelity")


def _pixels(points: Sequence[Pair], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Handles and targets as the pixels (x, y) that they lie in, long (N, 2) each."""
    whole = torch.tensor(points, dtype=torch.float64).floor().long()
    limit = torch.tensor(size) - 1
    return whole[:, 0].clamp(min=0).minimum(limit), whole[:, 1].clamp(min=0).minimum(limit)


def _bilinear(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features[None].float(), size[::-1], mode="bilinear")[0]


def _cells(features: Tensor) -> Tensor:
    """The number of each feature, (1, 1, h, w) float64: exact, so that it may be interpolated."""
    h, w = features.shape[-2:]
    return torch.arange(h * w, dtype=torch.float64).reshape(1, 1, h, w)


def _circles(handles: Tensor, targets: Tensor, size: tuple[int, int]) -> Tensor:
    """Where a pair is searched for, bool (N, H, W)."""
    width, height = size
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([x, y], -1).double()  # (H, W, 2)
    radius = ((handles - targets).double().norm(dim=1) / math.sqrt(2)).clamp(min=5)[:, None, None]
    near = [(grid - ends[:, None, None]).norm(dim=-1) < radius for ends in (handles, targets)]
    return near[0] | near[1]


def _best(similarity: Tensor) -> Tensor:
    """The pixel (x, y) of each map's first maximum; (N, H, W) -> long (N, 2) on the CPU."""
    index, width = similarity.flatten(1).cpu().argmax(1), similarity.shape[-1]
    return torch.stack([index % width, index // width], 1)
