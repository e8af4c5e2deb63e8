"""Everything that the exact answer, the judge and a CLIP say about one edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.metrics.clip import Clip

Distance = Callable[[Tensor, Tensor], Tensor]
"""Of pictures (B, 3, H, W) in [-1, 1] and others: (B,)."""


@dataclass(frozen=True)
class TruthMeter:
    """Measures edits of Critters.

    Beside what :class:`i2i_dds.evaluation.measure.Row` has, an edit's numbers are

    - ssim_truth: structural similarity to the exact counterfactual, at most 1;
    - mae_truth: mean absolute difference from it, as a fraction of the range of pixels;
    - kept: the share of the attributes that the task does not change on which the judge says the
      same of the edit as of the exact counterfactual;
    - clip_direction: cosine between the change of the picture and that of the prompt;
    - lpips_truth, structure_source: LPIPS to the counterfactual, and the distance between the
      structure of the edit and the source's; NaN without their network.

    Attributes:
        evaluator: Of the task that all items of a batch have.
        clip: The CLIP.
        lpips: The distance, or None.
        structure: The distance, or None.
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
        x, truth = x.cpu().nan_to_num(-1.0), batch["truth"]
        columns = {
            "ssim_truth": structural_similarity_index_measure(
                x.double(), truth.double(), data_range=2.0, reduction="none"
            ),
            "mae_truth": (x - truth).abs().mean((1, 2, 3)) / 2,
            "kept": self._kept(batch, x),
            "clip_direction": self.clip.direction(
                x, batch["image"], batch["target"], batch["source"]
            ),
        }
        for name, distance, other in (
            ("lpips_truth", self.lpips, truth),
            ("structure_source", self.structure, batch["image"]),
        ):
            unknown = torch.full((len(x),), float("nan"))
            columns[name] = unknown if distance is None else distance(x, other)
        found = []
        for i, row in enumerate(self.evaluator(batch, x)):
            numbers = {name: getattr(row, name) for name in _OF_ROW}
            numbers["psnr_truth_gain"] = row.psnr_truth - row.psnr_truth_source
            found.append(numbers | {name: float(values[i]) for name, values in columns.items()})
        return found

    def _kept(self, batch: Mapping[str, Any], x: Tensor) -> Tensor:
        judge = self.evaluator.judge
        assert judge is not None
        edit, truth = judge.predict(x), judge.predict(batch["truth"])
        shares = []
        for i, number in enumerate(batch["task"]):
            target = self.evaluator.tasks[int(number)].target
            others = [name for name in judge.attributes if name not in target]
            same = sum(edit[name][i] == truth[name][i] for name in others)
            shares.append(same / len(others))
        return torch.tensor(shares)


_OF_ROW = ("success", "psnr_truth", "psnr_backdrop", "sharpness", "sharpness_source")

TRUTH_COLUMNS = (
    "success",
    "psnr_truth",
    "psnr_truth_gain",
    "psnr_backdrop",
    "ssim_truth",
    "clip_direction",
    "sharpness",
)
MORE_COLUMNS = ("sharpness_source", "mae_truth", "kept", "lpips_truth", "structure_source")
"""The names of the numbers, in the order of tables."""
