"""What a drag is worth: against the truth where it is known, and by both published distances."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from i2i_dds.data.dragbench import DragItem, TruthItem
from i2i_dds.data.images import to_pil, to_tensor
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.drag_items import Dragged, DragRequest
from i2i_dds.metrics.arrival import arrived
from i2i_dds.metrics.dift import unet_features
from i2i_dds.metrics.drag import (
    REGIONDRAG_SIDE,
    distances_dragdiffusion,
    mean_distance_regiondrag,
)
from i2i_dds.metrics.image import psnr

_NAN = float("nan")


@dataclass(frozen=True)
class DragRow:
    """The numbers of one dragged picture; NaN where there is nothing to measure with.

    Attributes:
        name: The item's.
        kind: What moves, of Critters.
        error: Why it could not be done; empty if it was.
        arrived: 1 if each thing is found within one latent cell of its target, else 0.
        psnr_truth: The result against the exact answer, dB.
        psnr_truth_source: The untouched picture against it, dB: what doing nothing scores.
        psnr_source: The result against the untouched picture, dB.
        outside_equal: 1 if the latent outside the mask is the source's to the bit, else 0.
        md_dragdiffusion: DragDiffusion's distance in pixels, summed over the pairs.
        md_regiondrag: RegionDrag's mean distance, times 100.
        pairs: How many.
        collapsed: How many of them did not move, handle and target being in one cell.
        drag_steps: How many there were.
        evaluations: Rows passed through the noise predictor.
        nonfinite: Entries of latents that were NaN or infinite.
    """

    name: str
    kind: str = ""
    error: str = ""
    arrived: float = _NAN
    psnr_truth: float = _NAN
    psnr_truth_source: float = _NAN
    psnr_source: float = _NAN
    outside_equal: float = _NAN
    md_dragdiffusion: float = _NAN
    md_regiondrag: float = _NAN
    pairs: int = 0
    collapsed: int = 0
    drag_steps: int = 0
    evaluations: int = 0
    nonfinite: int = 0

    def values(self) -> dict[str, Any]:
        """Plain values by column."""
        return asdict(self)


@dataclass(frozen=True)
class DragMeter:
    """Measures drags.

    Attributes:
        teacher: Whose features the distances are taken in; Stable Diffusion 2.1 where they are to
            be compared with published ones.
        seed: Of the features' noises.
        t: Timestep of the features.
        block: Up block of the features.
        ensemble: Noises that they are averaged over.
        regiondrag_side: To which pictures are stretched for RegionDrag's distance; None leaves them
            at their own size, for a teacher that never saw such large ones.
    """

    teacher: Any
    seed: int = 0
    t: int = 261
    block: int = 1
    ensemble: int = 8
    regiondrag_side: int | None = REGIONDRAG_SIDE

    def __call__(
        self, item: DragItem, request: DragRequest, dragged: Dragged, truth: TruthItem | None
    ) -> DragRow:
        """One item's row."""
        known = {} if truth is None else truth_numbers(truth, dragged.x, self.teacher.downscale)
        return DragRow(
            name=item.name,
            psnr_source=psnr(dragged.x[None], request.x[None]).item(),
            outside_equal=float(outside_equal(dragged)),
            pairs=len(item.points),
            collapsed=len(dragged.collapsed),
            drag_steps=dragged.drag_steps,
            evaluations=dragged.evaluations,
            nonfinite=dragged.nonfinite,
            **known,
            **self.distances(item, dragged.x),
        )

    def distances(self, item: DragItem, x: Tensor) -> dict[str, float]:
        """Both published distances between an item's picture and what it became.

        Args:
            item: The item; its pictures are taken at its own size, and at RegionDrag's.
            x: The dragged picture, (3, H, W) in [-1, 1]; brought back to the item's size.
        """
        down, size = self.teacher.downscale, item.image.size
        own = tuple(max(1, round(side / down)) * down for side in size)
        text = self.teacher.embed([item.prompt])

        def features(side: tuple[int, int], filter_: Image.Resampling) -> list[Tensor]:
            pictures = [item.image, to_pil(x).resize(size, Image.Resampling.LANCZOS)]
            both = [to_tensor(picture.resize(side, filter_)) for picture in pictures]
            found = []
            for picture in both:  # one at a time: an ensemble of 768 pixels fills the memory
                generators = item_generators(self.seed, [f"dift/{item.name}"])
                settled = self.teacher, picture[None], text, generators
                found.append(unet_features(*settled, self.t, self.block, self.ensemble)[0])
            return found

        here = stretched = features((own[0], own[1]), Image.Resampling.LANCZOS)
        if self.regiondrag_side is not None:
            stretched = features((self.regiondrag_side,) * 2, Image.Resampling.NEAREST)
        pooled = distances_dragdiffusion(*here, item.points, size).sum().item()
        region = mean_distance_regiondrag(*stretched, item.points, size)
        return {"md_dragdiffusion": pooled, "md_regiondrag": region}


def truth_numbers(truth: TruthItem, x: Tensor, tolerance: float) -> dict[str, Any]:
    """What only a known answer can say.

    Args:
        truth: The answer.
        x: The dragged picture, (3, H, W) in [-1, 1], of its size.
        tolerance: Pixels within which a thing has arrived; one latent cell.
    """
    answer, source = to_tensor(truth.truth), to_tensor(truth.item.image)
    there = []
    for template, (handle, target) in zip(truth.templates, truth.item.points, strict=True):
        before = handle[0] - target[0], handle[1] - target[1]
        there.append(arrived(x, answer, to_tensor(template), before, tolerance).success)
    return {
        "kind": truth.kind,
        "arrived": float(all(there)),
        "psnr_truth": psnr(x[None], answer[None]).item(),
        "psnr_truth_source": psnr(source[None], answer[None]).item(),
    }


def outside_equal(dragged: Dragged) -> bool:
    """Whether the latent outside the mask is the source's to the bit; true where all may change."""
    if dragged.mask is None:
        return True
    outside = (dragged.mask == 0).expand_as(dragged.z)
    return torch.equal(dragged.z[outside], dragged.z_src[outside])


def drag_metrics(rows: list[DragRow], seconds: dict[str, float]) -> dict[str, Any]:
    """The benchmark's numbers over the rows that worked; None where nothing could be measured.

    DragDiffusion's distance is the mean over all pairs of all items, RegionDrag's over items, as
    they are published.
    """
    done = [row for row in rows if not row.error]
    pairs = sum(row.pairs for row in done)

    def mean(values: list[float]) -> float | None:
        known = [value for value in values if not math.isnan(value)]
        return math.fsum(known) / len(known) if known else None

    names = ("arrived", "psnr_truth", "psnr_truth_source", "psnr_source", "outside_equal")
    found: dict[str, Any] = {"n": len(rows), "failed": len(rows) - len(done)}
    found |= {name: mean([getattr(row, name) for row in done]) for name in names}
    found["md_dragdiffusion"] = (
        math.fsum(row.md_dragdiffusion for row in done) / pairs if pairs else None
    )
    found["md_regiondrag"] = mean([row.md_regiondrag for row in done])
    found["seconds_per_item"] = mean([seconds[row.name] for row in done if row.name in seconds])
    found["evaluations_per_item"] = mean([float(row.evaluations) for row in done])
    found["nonfinite"] = sum(row.nonfinite for row in done)
    kinds = sorted({row.kind for row in done if row.kind})
    if len(kinds) > 1:
        found["kinds"] = {
            kind: {
                "n": sum(row.kind == kind for row in done),
                **{n: mean([getattr(r, n) for r in done if r.kind == kind]) for n in names[:3]},
            }
            for kind in kinds
        }
    return found


def _picture(x: Tensor) -> Image.Image:
    from i2i_dds.data.images import to_pil

    return to_pil(x)
