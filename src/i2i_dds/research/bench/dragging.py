"""SDE-Drag: drags of Critters, whose answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from i2i_dds.data.dragbench import TruthItem, critter_items
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.drag_items import cell_mask, cells_of, drag_item
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.pipelines.drag import request_of
from i2i_dds.research.bench.plain import plain_drag
from i2i_dds.research.bench.quality import Quality
from i2i_dds.research.bench.settings import TOLERANCE, BenchSettings
from i2i_dds.research.bench.timing import Way, compare, times
from i2i_dds.research.drags import drag_row
from i2i_dds.teacher.lanes import run_together

PUBLIC = {"steps": 40, "drag_step": 2.0}
"""Of the plain loop at equal quality: the cells that a handle goes at a time in the public code,
and a fifth of its steps."""


def drag_comparison(teacher: Any, settings: BenchSettings) -> dict[str, Any]:
    """The row: the same drags, and the preset beside more and shorter steps, as public code has."""
    ours = Drag(**teacher.presets["drag"])
    public = replace(ours, **PUBLIC)
    items = critter_items("val", settings.drags, 0, size=teacher.native_size)
    fast = _ours(teacher, items, ours)
    row = compare(_plain(teacher, items, ours), fast, len(items), settings.rounds, TOLERANCE)
    equal = times(_plain(teacher, items, public), fast, settings.rounds)
    quality = drag_quality(teacher, public, ours, settings.quality_drags)
    return {**row, **quality.columns(equal), "items": len(items)}


def queue_comparison(teacher: Any, settings: BenchSettings) -> dict[str, Any]:
    """The row of many drags: as many side by side as there are pictures in a batch.

    Twice as many drags as lanes, so that those that arrive make room. Both ways do all of them, for
    drags take different numbers of drag steps.
    """
    drag = Drag(**teacher.presets["drag"])
    items = critter_items("val", 2 * settings.pictures, 0, size=teacher.native_size)
    fast, plain = _queue(teacher, items, drag, settings.pictures), _plain(teacher, items, drag)
    row = compare(plain, fast, len(items), settings.rounds, TOLERANCE)
    return {**row, "ratio_equal_quality": None, "quality": None, "items": len(items)}


def drag_quality(teacher: Any, plain: Drag, ours: Drag, n: int) -> Quality:
    """What both are worth on n held-out drags."""

    def worth(drag: Drag) -> dict[str, float]:
        done = []
        for truth in critter_items("test", n, 0, size=teacher.native_size):
            request = request_of(truth.item, teacher, None, "error")
            done.append((truth, drag_item(drag, teacher, request, 0)))
        row = drag_row(done)
        return {"psnr_truth": row["psnr_truth"], "success": row["arrived"]}

    return Quality(n, worth(plain), worth(ours))


def _plain(teacher: Any, items: Sequence[TruthItem], drag: Drag) -> Way:
    def run(count: int) -> Tensor:
        found = []
        for truth in items[:count]:
            x, handles, mask = _parts(teacher, truth)
            (generator,) = item_generators(0, [truth.item.name])
            words = truth.item.prompt
            found.append(plain_drag(teacher, x, words, handles, mask, generator, drag).cpu())
        return torch.cat(found)

    return Way(run, len(items))


def _queue(teacher: Any, items: Sequence[TruthItem], drag: Drag, width: int) -> Way:
    def run(count: int) -> Tensor:
        jobs = [
            lambda own, truth=truth: _ours(own, [truth], drag).run(1) for truth in items[:count]
        ]
        done = dict(run_together(teacher, jobs, width))
        return torch.cat([done[number] for number in range(count)])

    return Way(run, len(items))


def _ours(teacher: Any, items: Sequence[TruthItem], drag: Drag) -> Way:
    @torch.no_grad()
    def run(count: int) -> Tensor:
        found = []
        for truth in items[:count]:
            x, handles, mask = _parts(teacher, truth)
            generators = item_generators(0, [truth.item.name])
            text = teacher.embed([truth.item.prompt])
            batch = EditBatch(teacher.encode(x), text, text, generators, mask)
            z = finish(drag(teacher, batch, handles)).z
            teacher.decode(z)
            found.append(z.cpu())
        return torch.cat(found)

    return Way(run, len(items))


def _parts(teacher: Any, truth: TruthItem) -> tuple[Tensor, Any, Tensor]:
    """The picture, its handles in cells, and where it may change."""
    request = request_of(truth.item, teacher, None, "error")
    z_mask = cell_mask(request.mask, teacher.vae_scale_factor)
    assert z_mask is not None, truth.item.name
    x = request.x[None].to(teacher.device)
    return x, cells_of(request, teacher.vae_scale_factor), z_mask.to(teacher.device)
