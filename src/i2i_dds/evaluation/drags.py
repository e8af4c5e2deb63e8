"""What a drag is worth: against the truth where it is known, and by both published distances."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from i2i_dds.data.dragbench import DragItem, TruthItem
from i2i_dds.data.images import to_pil, to_tensor
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.drag_items import Dragged, DragRequest
from i2i_dds.errors import UserError
from i2i_dds.metrics.arrival import Arrival, arrived
from i2i_dds.metrics.dift import unet_features
from i2i_dds.metrics.drag import (
    REGIONDRAG_SIDE,
    mean_distance_dragdiffusion,
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
        arrived_source: The same of the untouched picture, which now and then passes by chance.
        within_cell: 1 if the place that resembles each thing most lies within one latent cell of
            its target, however little it does, else 0; `arrived` asks for a likeness too.
        score: The correlation at that place, in [-1, 1]; of several things the least.
        psnr_truth: The result against the ground truth, dB.
        psnr_truth_source: The untouched picture against it, dB: what doing nothing scores.
        psnr_source: The result against the untouched picture, dB.
        outside_equal: 1 if the latent outside the mask is the source's to the bit, else 0.
        image_fidelity: 1 - LPIPS between the untouched picture and the result.
        md_dragdiffusion: DragDiffusion's mean distance over the item's pairs, pixels.
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
    arrived_source: float = _NAN
    within_cell: float = _NAN
    score: float = _NAN
    psnr_truth: float = _NAN
    psnr_truth_source: float = _NAN
    psnr_source: float = _NAN
    outside_equal: float = _NAN
    image_fidelity: float = _NAN
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

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> DragRow:
        """A row of :meth:`values` that were kept as JSON, which has null for NaN."""
        known: dict[str, Any] = {k: _NAN if v is None else v for k, v in values.items()}
        return cls(**known)


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
        fidelity: Of sources and results (B, 3, H, W), one number each, such as
            :func:`i2i_dds.metrics.drag.image_fidelity`; None leaves it out.

    Raises:
        UserError: The teacher has no such timestep or block.
    """

    teacher: Any
    seed: int = 0
    t: int = 261
    block: int = 1
    ensemble: int = 8
    regiondrag_side: int | None = REGIONDRAG_SIDE
    fidelity: Callable[[Tensor, Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        # Before the first drag: found out after it, every item would seem broken.
        blocks, timesteps = self.teacher.feature_blocks, len(self.teacher.process)
        for key, value, count in (("block", self.block, blocks), ("t", self.t, timesteps)):
            if not 0 <= value < count:
                raise UserError(
                    f"features.{key}: {value} is not allowed; "
                    f"give 0 to {count - 1}, which this teacher has"
                )

    def __call__(
        self, item: DragItem, request: DragRequest, dragged: Dragged, truth: TruthItem | None
    ) -> DragRow:
        """One item's row."""
        known: dict[str, Any] = {}
        if truth is not None:
            cell = dragged.x.shape[-1] / dragged.z.shape[-1]  # of the teacher that dragged
            known |= truth_numbers(truth, dragged.x, cell)
        known |= self.distances(item, dragged.x)
        source, edited = request.x[None], dragged.x[None]
        if self.fidelity is not None:
            known["image_fidelity"] = self.fidelity(source, edited).item()
        return DragRow(
            name=item.name,
            psnr_source=psnr(source, edited).item(),
            outside_equal=float(outside_equal(dragged)),
            pairs=len(item.points),
            collapsed=len(dragged.collapsed),
            drag_steps=dragged.drag_steps,
            evaluations=dragged.nfe,
            nonfinite=dragged.nonfinite,
            **known,
        )

    def distances(self, item: DragItem, x: Tensor) -> dict[str, float]:
        """Both published distances between an item's picture and what it became.

        Args:
            item: The item; its pictures are taken at its own size, and at RegionDrag's.
            x: The dragged picture, (3, H, W) in [-1, 1]; brought back to the item's size.
        """
        down, size = self.teacher.vae_scale_factor, item.image.size
        own = [max(1, round(side / down)) * down for side in size]
        text = self.teacher.embed([item.prompt])

        def features(side: tuple[int, int], filter_: Image.Resampling) -> tuple[Tensor, Tensor]:
            pictures = [item.image, to_pil(x).resize(size, Image.Resampling.LANCZOS)]
            both = [to_tensor(picture.resize(side, filter_)) for picture in pictures]
            found = []
            for picture in both:  # one at a time: an ensemble of 768 pixels fills the memory
                generators = item_generators(self.seed, [f"dift/{item.name}"])
                (feature,) = unet_features(
                    self.teacher,
                    x=picture[None],
                    text=text,
                    generators=generators,
                    t=self.t,
                    block=self.block,
                    ensemble=self.ensemble,
                )
                found.append(feature)
            return found[0], found[1]

        here = stretched = features((own[0], own[1]), Image.Resampling.LANCZOS)
        side = self.regiondrag_side
        if side is not None:
            stretched = features((side, side), Image.Resampling.NEAREST)
        return {
            "md_dragdiffusion": mean_distance_dragdiffusion(
                features_src=here[0], features_edit=here[1], points=item.points, size=size
            ),
            "md_regiondrag": mean_distance_regiondrag(
                features_src=stretched[0],
                features_edit=stretched[1],
                points=item.points,
                size=size,
            ),
        }


def truth_numbers(truth: TruthItem, x: Tensor, tolerance: float) -> dict[str, Any]:
    """What only a known answer can say.

    Args:
        truth: The answer.
        x: The dragged picture, (3, H, W) in [-1, 1], of its size.
        tolerance: Pixels within which a thing has arrived; one latent cell.
    """
    answer, source = to_tensor(truth.truth), to_tensor(truth.item.image)

    ways = [(handle[0] - target[0], handle[1] - target[1]) for handle, target in truth.item.points]

    def found(picture: Tensor) -> list[Arrival]:
        return [
            arrived(picture, answer, to_tensor(template), before, tolerance)
            for template, before in zip(truth.templates, ways, strict=True)
        ]

    things = found(x)
    return {
        "kind": truth.kind,
        "arrived": float(all(thing.success for thing in things)),
        "arrived_source": float(all(thing.success for thing in found(source))),
        "within_cell": float(all(math.hypot(*thing.offset) <= tolerance for thing in things)),
        "score": min(thing.score for thing in things),
        "psnr_truth": psnr(x[None], answer[None]).item(),
        "psnr_truth_source": psnr(source[None], answer[None]).item(),
    }


def outside_equal(dragged: Dragged) -> bool:
    """Whether the latent outside the mask is the source's to the bit; true where all may change."""
    if dragged.mask is None:
        return True
    outside = (dragged.mask == 0).expand_as(dragged.z)
    return torch.equal(dragged.z[outside], dragged.z_src[outside])
