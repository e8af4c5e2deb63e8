"""What the benchmark edits, and what it measures there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.drag import say
from i2i_dds.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from i2i_dds.tasks import TaskSet
    from i2i_dds.teacher.interface import Teacher

Scenes = Sequence[Mapping[str, Any]]
COSTS = ("seconds", "evaluations")


@dataclass(frozen=True)
class Benchmark:
    """Pictures to edit and their measures.

    Attributes:
        teacher: Who edits.
        tasks: Whose numbers the scenes have.
        edits: The kinds of edit.
        scenes: Those of a kind of edit and a seed; the first ones do not depend on how many.
        meter: The numbers of each picture of a collated batch and its edits.
        metrics: Their names, in the order of tables.
        spread: Those shown with the standard deviation over seeds.
        by_edit: Those shown for each kind of edit.
        axes: Of the frontier's panels: across, upwards, title.
    """

    teacher: Teacher
    tasks: TaskSet
    edits: Sequence[str]
    scenes: Callable[[str, int], Scenes]
    meter: Callable[[Mapping[str, Any], Tensor], list[dict[str, float]]]
    metrics: Sequence[str]
    spread: Sequence[str]
    by_edit: Sequence[str]
    axes: Sequence[tuple[str, str, str]]


def benchmark(cfg: DictConfig, teacher: Teacher) -> Benchmark:
    """The one that the config names."""
    return _critters(cfg, teacher)


def _critters(cfg: DictConfig, teacher: Teacher) -> Benchmark:
    from i2i_dds.cli.edit_inputs import scene_size
    from i2i_dds.data.edits import SceneEdits
    from i2i_dds.evaluation.against_truth import MORE_COLUMNS, TRUTH_COLUMNS, TruthMeter
    from i2i_dds.evaluation.measure import Evaluator, load_judge
    from i2i_dds.metrics.clip import Clip
    from i2i_dds.tasks import TaskSet

    if cfg.n is None:
        raise UserError("n: null is not allowed for critters; give a whole number of at least 1")
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    size, cache = scene_size(cfg.size, teacher), {}

    def scenes(edit: str, seed: int) -> Scenes:
        if (edit, seed) not in cache:
            number = tasks.index(edit)
            alone = SceneEdits(TaskSet([tasks[number]]), cfg.split, cfg.n, seed, size)
            # As many scenes of one task; each keeps its task's number in the whole set.
            cache[edit, seed] = [{**alone[i], "task": number} for i in range(len(alone))]
        return cache[edit, seed]

    evaluator = Evaluator(tasks, teacher, load_judge(cfg.judge))
    distances = {"lpips": _lpips(), "structure": _structure(cfg)}
    return Benchmark(
        *(teacher, tasks, tasks.names, scenes),
        meter=TruthMeter(evaluator, Clip.load(cfg.clip), **distances),
        metrics=(*TRUTH_COLUMNS, *COSTS, *MORE_COLUMNS),
        spread=("success", "psnr_truth_gain", "psnr_backdrop"),
        by_edit=("success", "psnr_truth_gain", "psnr_backdrop"),
        axes=(
            ("psnr_backdrop", "success", "success against preservation"),
            ("psnr_backdrop", "psnr_truth_gain", "nearness to the answer against preservation"),
        ),
    )


def _lpips() -> Any:
    """LPIPS where it can be had: its weights come over the network."""
    import torch

    from i2i_dds.metrics.drag import image_fidelity

    blank = torch.zeros(1, 3, 64, 64)
    try:
        image_fidelity(blank, blank)
    except (UserError, OSError) as error:
        say(f"{error} (the column of LPIPS stays empty)")
        return None
    return lambda x, y: 1 - image_fidelity(x, y)


def _structure(cfg: DictConfig) -> Any:
    return None
