"""What the benchmark edits, and what it measures there: Critters, and PIE-Bench."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i_dds.data.edits import SceneEdits
from i2i_dds.data.images import fit, to_tensor
from i2i_dds.data.piebench import PieItem, list_items, load_item
from i2i_dds.data.runlength import bordered
from i2i_dds.data.sources import Split
from i2i_dds.errors import UserError
from i2i_dds.evaluation.against_truth import FIRST_COLUMNS, TruthMeter, truth_metrics
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.evaluation.metric import Measured, Networks, measure
from i2i_dds.evaluation.piebench import PIE_METRICS
from i2i_dds.metrics.clip import Clip
from i2i_dds.metrics.perceptual import lpips_distance
from i2i_dds.metrics.structure import StructureDistance
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher

COSTS = ("seconds", "evaluations")


@dataclass(frozen=True)
class Scenes:
    """Pictures of one kind of edit, each read when it is wanted.

    Attributes:
        names: Unique in the benchmark.
        read: The n-th one, as an item of `data.edits.SceneEdits`; "truth" where it is known.
    """

    names: Sequence[str]
    read: Callable[[int], Mapping[str, Any]]


@dataclass(frozen=True)
class BenchmarkSet:
    """Pictures to edit and their measures.

    Attributes:
        teacher: The one that edits.
        tasks: Whose numbers the scenes have; None where there are none.
        edits: The kinds of edit.
        scenes: Those of a kind of edit and a seed; the first ones do not depend on how many.
        meter: The numbers of each picture of a collated batch and its edits.
        metrics: Their names, in the order of tables.
        spread: Those shown with the standard deviation over seeds.
        by_edit: Those shown for each kind of edit.
        printed: Those that a person sees at the end.
        axes: Of the trade-off curve's panels: across, upwards, title.
        units: Of metrics, for the headers of tables.
        pooled: Whether in means over all edits every picture counts the same, or every kind.
    """

    teacher: Teacher
    tasks: TaskSet | None
    edits: Sequence[str]
    scenes: Callable[[str, int], Scenes]
    meter: Callable[[Mapping[str, Any], Tensor], list[dict[str, float]]]
    metrics: Sequence[str]
    spread: Sequence[str]
    by_edit: Sequence[str]
    printed: Sequence[str]
    axes: Sequence[tuple[str, str, str]]
    units: Mapping[str, str] = field(default_factory=dict)
    pooled: bool = False


def critters(
    evaluator: Evaluator,
    clip: Clip,
    *,
    split: Split,
    n: int,
    size: int,
    lpips: Callable[..., Tensor] | None = None,
    structure: StructureDistance | None = None,
) -> BenchmarkSet:
    """Scenes of every task of the evaluator, with their ground truth.

    Args:
        evaluator: With the tasks, the teacher and the judge.
        clip: In whose features edits and prompts are compared.
        split: "val" or "test".
        n: Scenes of each task and seed.
        size: Their side in pixels.
        lpips: The perceptual distance; None leaves its column empty.
        structure: The structure distance; None leaves its column empty.
    """
    tasks = evaluator.tasks
    others = [one.name for one in truth_metrics() if one.name not in FIRST_COLUMNS]

    def scenes(edit: str, seed: int) -> Scenes:
        # Alone, for a set of one task has as many scenes; their number is that of the whole set.
        number = tasks.index(edit)
        alone = SceneEdits(TaskSet([tasks[number]]), split, n, seed, size)
        return Scenes([key for _, key, *_ in alone.edits], lambda i: {**alone[i], "task": number})

    return BenchmarkSet(
        teacher=evaluator.teacher,
        tasks=tasks,
        edits=tasks.names,
        scenes=scenes,
        meter=TruthMeter(evaluator, clip, lpips=lpips, structure=structure),
        metrics=(*FIRST_COLUMNS, *COSTS, *others),
        spread=("success", "psnr_truth_gain", "psnr_backdrop"),
        by_edit=("success", "psnr_truth_gain", "psnr_backdrop"),
        printed=("success", "psnr_truth_gain", "psnr_backdrop", "seconds"),
        axes=(
            ("psnr_backdrop", "success", "success against preservation"),
            ("psnr_backdrop", "psnr_truth_gain", "PSNR gain against preservation"),
        ),
    )


def piebench(
    teacher: Teacher,
    clip: Clip,
    root: str | Path,
    *,
    n: int | None,
    size: int,
    lpips: bool = False,
    structure: StructureDistance | None = None,
) -> BenchmarkSet:
    """PIE-Bench's pictures in its published measures.

    Args:
        teacher: The one that edits.
        clip: In whose features edits and prompts are compared.
        root: Where its mapping_file.json is.
        n: Items of each type; None is all.
        size: At which they are edited.
        lpips: Whether the perceptual distance is measured.
        structure: The structure distance; None leaves its column empty.

    Raises:
        UserError: Nothing of it is there.
    """
    by_kind: dict[str, list[Any]] = {}
    for record in list_items(root).values():
        by_kind.setdefault(record.kind, []).append(record)

    def scenes(edit: str, seed: int) -> Scenes:
        records = by_kind[edit][:n]
        read = partial(pie_scene, size=size, vae_scale_factor=teacher.vae_scale_factor)
        return Scenes([one.name for one in records], lambda i: read(load_item(records[i])))

    return BenchmarkSet(
        teacher=teacher,
        tasks=None,
        edits=sorted(by_kind),
        scenes=scenes,
        meter=_PieMeter(Networks(clip, lpips_distance if lpips else None, structure)),
        metrics=(*PIE_METRICS, *COSTS),
        spread=("psnr", "clip_edited"),
        by_edit=("psnr", "clip_edited"),
        printed=(*PIE_METRICS, "seconds"),
        axes=(("psnr", "clip_edited", "edit against preservation"),),
        units={name: metric.unit for name, metric in PIE_METRICS.items()},
        pooled=True,
    )


def pie_scene(item: PieItem, size: int, vae_scale_factor: int) -> dict[str, Any]:
    """An item at the size that the teacher edits.

    "mask" is what editors are told, "measured" what the evaluation leaves out beside it.
    """
    parts = item.image, item.mask, bordered(item.mask)
    picture, mask, measured = (fit(one, vae_scale_factor, size, "resize") for one in parts)
    return {
        "key": item.name,
        "image": to_tensor(picture),
        "source": item.source,
        "target": item.target,
        "mask": (to_tensor(mask) > 0).float(),
        "measured": (to_tensor(measured) > 0).float(),
    }


def lpips_where_available(net: str, notify: Callable[[str], None]) -> Callable[..., Tensor] | None:
    """LPIPS where it can be had, for its weights come over the network; else says why not."""
    blank = torch.zeros(1, 3, 64, 64)
    try:
        lpips_distance(blank, blank, net)
    except (UserError, OSError) as error:
        notify(f"{error} (its column stays empty)")
        return None
    return partial(lpips_distance, net=net)


@dataclass(frozen=True)
class _PieMeter:
    """The published measures of each picture of a batch."""

    networks: Networks

    def __call__(self, batch: Mapping[str, Any], x: Tensor) -> list[dict[str, float]]:
        measured = Measured(
            x_src=batch["image"],
            x=x.nan_to_num(-1.0),
            mask=batch["measured"],
            prompts=batch["target"],
            networks=self.networks,
        )
        return measure(PIE_METRICS.values(), measured)
