"""Everything that the ground truth, the judge and a CLIP say about one edit of Critters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.evaluation.metric import (
    Distance,
    Measured,
    Metric,
    Networks,
    edit_metrics,
    measure,
)
from i2i_dds.evaluation.photographs import CLIP_DIRECTION, STRUCTURE_SOURCE
from i2i_dds.metrics.clip import Clip


def ssim_truth(measured: Measured) -> Tensor:
    """Structural similarity to the exact counterfactual, at most 1."""
    x, truth = measured.x.double(), _truth(measured).double()
    found = structural_similarity_index_measure(x, truth, data_range=2.0, reduction="none")
    return cast(Tensor, found)


def mae_truth(measured: Measured) -> Tensor:
    """Mean absolute difference from it, as a fraction of the range of pixels."""
    return (measured.x - _truth(measured)).abs().mean((1, 2, 3)) / 2


def kept(measured: Measured) -> Tensor:
    """Share of the attributes that the edit preserved, of those that the task does not change.

    An attribute is preserved where the judge says the same of the edit as of the counterfactual.
    """
    edit, truth = measured.answers, measured.answers_truth
    assert edit is not None and truth is not None
    shares = []
    for i, task in enumerate(measured.tasks):
        others = [name for name in measured.judge.attributes if name not in task.target]
        same = sum(edit[name][i] == truth[name][i] for name in others)
        shares.append(same / len(others))
    return torch.tensor(shares)


def lpips_truth(measured: Measured) -> Tensor:
    """LPIPS to the counterfactual; NaN without the network."""
    distance = measured.networks.lpips
    return measured.unknown if distance is None else distance(measured.x, _truth(measured))


TRUTH_METRICS: dict[str, Metric[Measured]] = {
    metric.name: metric
    for metric in (
        Metric("ssim_truth", "SSIM to the ground truth", "", 3, True, ssim_truth),
        Metric("mae_truth", "mean absolute error", "", 4, False, mae_truth),
        Metric("kept", "attribute preservation", "", 3, True, kept),
        CLIP_DIRECTION,
        Metric("lpips_truth", "LPIPS to the ground truth", "", 3, False, lpips_truth),
        STRUCTURE_SOURCE,
    )
}
"""Those of the benchmark on Critters alone, by name."""

FIRST_COLUMNS = (
    "success",
    "psnr_truth",
    "psnr_truth_gain",
    "psnr_backdrop",
    "ssim_truth",
    "clip_direction",
    "sharpness",
)
"""What its tables show first; all others follow."""

_NOT_OF_THE_EDIT = ("psnr_truth_source", "psnr_truth_source_recon")


def truth_metrics() -> list[Metric[Measured]]:
    """The benchmark's metrics on Critters, in the order of rows."""
    of_edits = [metric for metric in edit_metrics() if metric.name not in _NOT_OF_THE_EDIT]
    return [*of_edits, *TRUTH_METRICS.values()]


@dataclass(frozen=True)
class TruthMeter:
    """Measures edits of Critters by :func:`truth_metrics`.

    Attributes:
        evaluator: Of the task that all items of a batch have.
        clip: The CLIP.
        lpips: The distance, or None.
        structure: The distance, or None.

    Raises:
        UserError: The evaluator has no judge.
    """

    evaluator: Evaluator
    clip: Clip
    lpips: Distance | None = None
    structure: Distance | None = None

    def __post_init__(self) -> None:
        if self.evaluator.judge is None:
            raise UserError("judge: null is not allowed; give pocket or a folder that holds one")

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any], x: Tensor) -> list[dict[str, float]]:
        """The numbers of each item.

        Args:
            batch: Collated items of `data.edits.SceneEdits`.
            x: Their edits, (B, 3, H, W) in [-1, 1].
        """
        networks = Networks(self.clip, self.lpips, self.structure)
        return measure(truth_metrics(), self.evaluator.measured(batch, x, networks))


def _truth(measured: Measured) -> Tensor:
    assert measured.truth is not None
    return measured.truth
