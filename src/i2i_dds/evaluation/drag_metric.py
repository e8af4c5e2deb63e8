"""The numbers of a drag: against the truth where it is known, and by both published distances.

A new one is a function of :class:`MeasuredDrag` and one line in :data:`DRAG_METRICS`. It is then in
``rows.csv``, in ``metrics.json`` and in the table of a benchmark of drags.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from i2i_dds.data.dragbench import DragItem, TruthItem
from i2i_dds.data.images import to_tensor
from i2i_dds.editing.drag_items import Dragged
from i2i_dds.evaluation.metric import Metric
from i2i_dds.metrics.arrival import Arrival, arrived
from i2i_dds.metrics.drag import mean_distance_dragdiffusion, mean_distance_regiondrag
from i2i_dds.metrics.image import psnr

Both = tuple[Tensor, Tensor]
"""Features of the source and of the result, (C, h, w) each."""

_UNKNOWN = torch.tensor(float("nan"))


@dataclass(frozen=True)
class MeasuredDrag:
    """A dragged picture, and what it may be measured against.

    Attributes:
        item: What was asked for.
        dragged: What came of it.
        x_src: The picture that was dragged, (3, H, W) in [-1, 1], of the result's size.
        truth: The answer; None if it is unknown.
        features: Of source and result at the item's size, and at RegionDrag's; None of no teacher.
        fidelity: Of sources and results (B, 3, H, W), one number each; None leaves it out.
    """

    item: DragItem
    dragged: Dragged
    x_src: Tensor
    truth: TruthItem | None = None
    features: tuple[Both, Both] | None = None
    fidelity: Callable[[Tensor, Tensor], Tensor] | None = None

    @property
    def x(self) -> Tensor:
        """The result, (3, H, W) in [-1, 1]."""
        return self.dragged.x

    @property
    def tolerance(self) -> float:
        """Pixels within which a thing has arrived: one latent cell of the teacher that dragged."""
        return self.x.shape[-1] / self.dragged.z.shape[-1]

    @cached_property
    def arrivals(self) -> list[Arrival]:
        """Where each thing of the answer is found in the result."""
        return self._arrivals(self.x)

    @cached_property
    def arrivals_source(self) -> list[Arrival]:
        """Where each is found in the untouched picture."""
        return [] if self.truth is None else self._arrivals(to_tensor(self.truth.item.image))

    def _arrivals(self, picture: Tensor) -> list[Arrival]:
        truth = self.truth
        if truth is None:
            return []
        answer, tolerance = to_tensor(truth.truth), self.tolerance
        return [
            arrived(picture, answer, to_tensor(template), (x - x_tgt, y - y_tgt), tolerance)
            for template, ((x, y), (x_tgt, y_tgt)) in zip(
                truth.templates, truth.item.points, strict=True
            )
        ]


def measure_drag(
    metrics: Iterable[Metric[MeasuredDrag]], measured: MeasuredDrag
) -> dict[str, float]:
    """The values of one drag by name, NaN where there is nothing to measure with."""
    return {metric.name: metric.function(measured).item() for metric in metrics}


def success(measured: MeasuredDrag) -> Tensor:
    """1 if each thing is found within one latent cell of its target, else 0."""
    return _all(thing.success for thing in measured.arrivals)


def success_source(measured: MeasuredDrag) -> Tensor:
    """The same of the untouched picture, which now and then passes by chance."""
    return _all(thing.success for thing in measured.arrivals_source)


def within_cell(measured: MeasuredDrag) -> Tensor:
    """1 if the place that resembles each thing most is within one latent cell of its target.

    However little it does, else 0; :func:`success` asks for a likeness too.
    """
    return _all(math.hypot(*thing.offset) <= measured.tolerance for thing in measured.arrivals)


def score(measured: MeasuredDrag) -> Tensor:
    """The correlation at that place, in [-1, 1]; of several things the least."""
    return _number(min((thing.score for thing in measured.arrivals), default=math.nan))


def psnr_truth(measured: MeasuredDrag) -> Tensor:
    """The result against the ground truth, dB."""
    return _against_truth(measured, measured.x)


def psnr_truth_source(measured: MeasuredDrag) -> Tensor:
    """The untouched picture against the ground truth, dB: the identity baseline."""
    truth = measured.truth
    return _UNKNOWN if truth is None else _against_truth(measured, to_tensor(truth.item.image))


def psnr_source(measured: MeasuredDrag) -> Tensor:
    """The result against the untouched picture, dB."""
    return psnr(measured.x_src[None], measured.x[None])[0]


def outside_equal(measured: MeasuredDrag) -> Tensor:
    """1 if the latent outside the mask is the source's to the bit, or all may change; else 0."""
    dragged = measured.dragged
    if dragged.mask is None:
        return _number(1)
    outside = (dragged.mask == 0).expand_as(dragged.z)
    return _number(torch.equal(dragged.z[outside], dragged.z_src[outside]))


def image_fidelity(measured: MeasuredDrag) -> Tensor:
    """1 - LPIPS between the untouched picture and the result."""
    if measured.fidelity is None:
        return _UNKNOWN
    return measured.fidelity(measured.x_src[None], measured.x[None])[0]


def md_dragdiffusion(measured: MeasuredDrag) -> Tensor:
    """DragDiffusion's mean distance over the item's pairs, pixels."""
    if measured.features is None:
        return _UNKNOWN
    source, result = measured.features[0]
    item = measured.item
    return _number(mean_distance_dragdiffusion(source, result, item.points, item.image.size))


def md_regiondrag(measured: MeasuredDrag) -> Tensor:
    """RegionDrag's mean distance, times 100."""
    if measured.features is None:
        return _UNKNOWN
    source, result = measured.features[1]
    item = measured.item
    return _number(mean_distance_regiondrag(source, result, item.points, item.image.size))


TRUTH_DRAG_METRICS: dict[str, Metric[MeasuredDrag]] = {
    metric.name: metric
    for metric in (
        Metric("arrived", "arrived", "", 0, True, success, fraction=True),
        Metric("arrived_source", "arrived, source", "", 0, None, success_source, fraction=True),
        Metric("within_cell", "most alike within a cell", "", 0, True, within_cell, fraction=True),
        Metric("score", "correlation there", "", 2, True, score),
        Metric("psnr_truth", "PSNR to truth", "dB", 1, True, psnr_truth),
        Metric("psnr_truth_source", "of the source", "dB", 1, None, psnr_truth_source),
    )
}
"""Those that need the answer."""

DRAG_METRICS: dict[str, Metric[MeasuredDrag]] = TRUTH_DRAG_METRICS | {
    metric.name: metric
    for metric in (
        Metric("psnr_source", "PSNR to source", "dB", 1, None, psnr_source),
        Metric("outside_equal", "rest untouched", "", 0, True, outside_equal, fraction=True),
        Metric("image_fidelity", "image fidelity", "", 3, True, image_fidelity),
        Metric(
            "md_dragdiffusion",
            "distance, DragDiffusion's",
            "px",
            1,
            False,
            md_dragdiffusion,
            weight="pairs",
        ),
        Metric("md_regiondrag", "distance, RegionDrag's", "x 100", 1, False, md_regiondrag),
    )
}
"""Those of every drag, by name, in the order of files and tables."""


def _against_truth(measured: MeasuredDrag, x: Tensor) -> Tensor:
    if measured.truth is None:
        return _UNKNOWN
    return psnr(x[None], to_tensor(measured.truth.truth)[None])[0]


def _all(things: Iterable[bool]) -> Tensor:
    """1 if all are true, else 0; unknown of none."""
    answers = list(things)
    return _number(all(answers)) if answers else _UNKNOWN


def _number(value: float) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float64)
