"""Measures drags: a row of numbers of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from PIL import Image
from torch import Tensor

from i2i_dds.data.dragbench import DragItem, TruthItem
from i2i_dds.data.images import to_pil, to_tensor
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.drag_items import Dragged, DragRequest
from i2i_dds.errors import UserError
from i2i_dds.evaluation.drag_metric import DRAG_METRICS, Both, MeasuredDrag, measure_drag
from i2i_dds.metrics.dift import dift_features
from i2i_dds.metrics.drag import REGIONDRAG_SIDE
from i2i_dds.teacher.interface import FeatureTeacher

_NAN = float("nan")


@dataclass(frozen=True)
class DragRow:
    """The numbers of one dragged picture.

    Attributes:
        name: The item's.
        kind: What moves, of Critters.
        error: Why it could not be done; empty if it was.
        numbers: Those of :data:`DRAG_METRICS` by name; one that is absent is NaN.
        pairs: How many.
        collapsed: How many of them did not move, handle and target being in one cell.
        drag_steps: How many there were.
        evaluations: Rows passed through the noise predictor.
        nonfinite: Entries of latents that were NaN or infinite.
    """

    name: str
    kind: str = ""
    error: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    pairs: int = 0
    collapsed: int = 0
    drag_steps: int = 0
    evaluations: int = 0
    nonfinite: int = 0

    def number(self, name: str) -> float:
        """A metric's value, NaN where there was nothing to measure with."""
        return self.numbers.get(name, _NAN)

    def values(self) -> dict[str, Any]:
        """Plain values by column: names, metrics, counts."""
        values = asdict(self)
        numbers = {name: self.number(name) for name in DRAG_METRICS}
        first = {name: values.pop(name) for name in ("name", "kind", "error")}
        return {**first, **numbers, **{k: v for k, v in values.items() if k != "numbers"}}

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> DragRow:
        """A row of :meth:`values` that were kept as JSON, which has null for NaN."""
        own = {one.name for one in fields(cls)}
        numbers = {k: _NAN if v is None else v for k, v in values.items() if k not in own}
        return cls(**{k: v for k, v in values.items() if k in own}, numbers=numbers)


@dataclass(frozen=True)
class DragMeter:
    """Measures drags.

    Attributes:
        teacher: Whose features the distances are taken in; Stable Diffusion 2.1 where they are to
            be compared with published ones.
        seed: Of the features' noises.
        t: Timestep of the features.
        block: Of the features; None is the teacher's own.
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
    block: int | None = None
    ensemble: int = 8
    regiondrag_side: int | None = REGIONDRAG_SIDE
    fidelity: Callable[[Tensor, Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        # Before the first drag: found out after it, every item would seem broken.
        if not isinstance(self.teacher, FeatureTeacher):
            raise UserError(
                "features.teacher: this one shows nothing of its inside, in which distances could "
                "be measured; give the folder or hub id of a Stable Diffusion"
            )
        blocks, timesteps = self.teacher.feature_blocks, len(self.teacher.process)
        for key, value, count in (("block", self.block, blocks), ("t", self.t, timesteps)):
            if value is not None and not 0 <= value < count:
                raise UserError(
                    f"features.{key}: {value} is not allowed; "
                    f"give 0 to {count - 1}, which this teacher has"
                )

    def __call__(
        self, item: DragItem, request: DragRequest, dragged: Dragged, truth: TruthItem | None
    ) -> DragRow:
        """One item's row."""
        features = self.features(item, dragged.x)
        measured = MeasuredDrag(item, dragged, request.x, truth, features, self.fidelity)
        return DragRow(
            name=item.name,
            kind="" if truth is None else truth.kind,
            numbers=measure_drag(DRAG_METRICS.values(), measured),
            pairs=len(item.points),
            collapsed=len(dragged.collapsed),
            drag_steps=dragged.drag_steps,
            evaluations=dragged.nfe,
            nonfinite=dragged.nonfinite,
        )

    def features(self, item: DragItem, x: Tensor) -> tuple[Both, Both]:
        """Of an item's picture and of what it became, at its own size and at RegionDrag's.

        Args:
            item: The item; its picture is taken at the nearest size that the VAE allows.
            x: The dragged picture, (3, H, W) in [-1, 1]; brought back to the item's size.
        """
        down, size, side = self.teacher.vae_scale_factor, item.image.size, self.regiondrag_side
        width, height = (max(1, round(length / down)) * down for length in size)
        text = self.teacher.embed([item.prompt])
        pictures = item.image, to_pil(x).resize(size, Image.Resampling.LANCZOS)

        def at(size: tuple[int, int], filter_: Image.Resampling) -> Both:
            # One at a time: an ensemble of 768 pixels fills the memory.
            source, result = (one.resize(size, filter_) for one in pictures)
            return self._features(item.name, source, text), self._features(item.name, result, text)

        own = at((width, height), Image.Resampling.LANCZOS)
        return own, own if side is None else at((side, side), Image.Resampling.NEAREST)

    def _features(self, name: str, picture: Image.Image, text: Any) -> Tensor:
        (found,) = dift_features(
            self.teacher,
            x=to_tensor(picture)[None],
            text=text,
            generators=item_generators(self.seed, [f"dift/{name}"]),
            t=self.t,
            block=self.block,
            ensemble=self.ensemble,
        )
        return found
