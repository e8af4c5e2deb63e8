"""What the benchmark edits, and what it measures there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.progress import say
from i2i_dds.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

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
class Benchmark:
    """Pictures to edit and their measures.

    Attributes:
        teacher: Who edits.
        tasks: Whose numbers the scenes have; None where there are none.
        edits: The kinds of edit.
        scenes: Those of a kind of edit and a seed; the first ones do not depend on how many.
        meter: The numbers of each picture of a collated batch and its edits.
        metrics: Their names, in the order of tables.
        spread: Those shown with the standard deviation over seeds.
        by_edit: Those shown for each kind of edit.
        printed: Those that a person sees at the end.
        axes: Of the frontier's panels: across, upwards, title.
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


def benchmark(cfg: DictConfig, teacher: Teacher) -> Benchmark:
    """The one that the config names."""
    return {"critters": _critters, "piebench": _piebench}[cfg.benchmark](cfg, teacher)


def _critters(cfg: DictConfig, teacher: Teacher) -> Benchmark:
    from i2i_dds.cli.sizes import scene_size
    from i2i_dds.data.edits import SceneEdits
    from i2i_dds.evaluation.against_truth import MORE_COLUMNS, TRUTH_COLUMNS, TruthMeter
    from i2i_dds.evaluation.measure import Evaluator, load_judge
    from i2i_dds.metrics.clip import Clip
    from i2i_dds.tasks import TaskSet

    if cfg.n is None:
        raise UserError("n: null is not allowed for critters; give a whole number of at least 1")
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    size = scene_size(cfg.size, teacher)

    def scenes(edit: str, seed: int) -> Scenes:
        # Alone, for a set of one task has as many scenes; their number is that of the whole set.
        number = tasks.index(edit)
        alone = SceneEdits(TaskSet([tasks[number]]), cfg.split, cfg.n, seed, size)
        return Scenes([key for _, key, *_ in alone.edits], lambda i: {**alone[i], "task": number})

    evaluator = Evaluator(tasks, teacher, load_judge(cfg.judge))
    distances = {"lpips": _lpips("alex"), "structure": _structure(cfg)}
    return Benchmark(
        *(teacher, tasks, tasks.names, scenes),
        meter=TruthMeter(evaluator, Clip.load(cfg.clip), **distances),
        metrics=(*TRUTH_COLUMNS, *COSTS, *MORE_COLUMNS),
        spread=("success", "psnr_truth_gain", "psnr_backdrop"),
        by_edit=("success", "psnr_truth_gain", "psnr_backdrop"),
        printed=("success", "psnr_truth_gain", "psnr_backdrop", "seconds"),
        axes=(
            ("psnr_backdrop", "success", "success against preservation"),
            ("psnr_backdrop", "psnr_truth_gain", "nearness to the answer against preservation"),
        ),
    )


def _piebench(cfg: DictConfig, teacher: Teacher) -> Benchmark:
    from i2i_dds.cli.sizes import scene_size
    from i2i_dds.data.piebench import list_items, load_item
    from i2i_dds.metrics.clip import Clip
    from i2i_dds.metrics.piebench import UNITS

    if cfg.students:
        raise UserError("students: they know tasks, and PIE-Bench has none; leave them out")
    by_kind: dict[str, list[Any]] = {}
    for record in list_items(cfg.root).values():
        by_kind.setdefault(record.kind, []).append(record)
    size = scene_size(cfg.size, teacher)

    def scenes(edit: str, seed: int) -> Scenes:
        records = by_kind[edit][: cfg.n]
        read = partial(pie_scene, size=size, down=teacher.downscale)
        return Scenes([one.name for one in records], lambda i: read(load_item(records[i])))

    return Benchmark(
        *(teacher, None, sorted(by_kind), scenes),
        meter=_PieMeter(Clip.load(cfg.clip), _structure(cfg), _lpips("squeeze") is not None),
        metrics=(*UNITS, *COSTS),
        spread=("psnr", "clip_edited"),
        by_edit=("psnr", "clip_edited"),
        printed=(*UNITS, "seconds"),
        axes=(("psnr", "clip_edited", "edit against preservation"),),
        units=UNITS,
        pooled=True,
    )


def pie_scene(item: Any, size: int, down: int) -> dict[str, Any]:
    """An item at the size that the teacher edits.

    "mask" is what editors are told, "measured" what the evaluation leaves out beside it.
    """
    from i2i_dds.data.images import fit, to_tensor
    from i2i_dds.data.runlength import bordered

    parts = item.image, item.mask, bordered(item.mask)
    picture, mask, measured = (fit(one, down, size, "resize") for one in parts)
    return {
        "key": item.name,
        "image": to_tensor(picture),
        "source": item.source,
        "target": item.target,
        "mask": (to_tensor(mask) > 0).float(),
        "measured": (to_tensor(measured) > 0).float(),
    }


@dataclass(frozen=True)
class _PieMeter:
    """The published measures of each picture of a batch."""

    clip: Any
    structure: Any
    lpips: bool

    def __call__(self, batch: Mapping[str, Any], x: Tensor) -> list[dict[str, float]]:
        from i2i_dds.metrics.piebench import UNITS, measure

        settled = batch["image"], x.nan_to_num(-1.0), batch["measured"], batch["target"]
        found = measure(*settled, self.clip, self.structure, self.lpips)
        unknown = dict.fromkeys(UNITS, float("nan"))
        columns = {name: values.tolist() for name, values in found.items()}
        return [
            unknown | {name: values[i] for name, values in columns.items()} for i in range(len(x))
        ]


def _lpips(net: str) -> Any:
    """LPIPS where it can be had: its weights come over the network."""
    import torch

    from i2i_dds.metrics.perceptual import lpips_distance

    blank = torch.zeros(1, 3, 64, 64)
    try:
        lpips_distance(blank, blank, net)
    except (UserError, OSError) as error:
        say(f"{error} (its column stays empty)")
        return None
    return partial(lpips_distance, net=net)


def _structure(cfg: DictConfig) -> Any:
    """The structure distance where its ViT is given."""
    from i2i_dds.metrics.structure import StructureDistance

    return None if cfg.dino is None else StructureDistance.load(cfg.dino, key="dino")
