"""Zero-shot DDS: one picture, many pictures, many targets of one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from i2i_dds.critters import SPECIES, render, scenes
from i2i_dds.data.images import to_tensor
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.diffusion.timesteps import UniformTimesteps
from i2i_dds.editing.batches import EditItem, edit_items
from i2i_dds.editing.interface import EditBatch, Editor, finish
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.evaluation.held_out import EvalBatch, build_eval_batch
from i2i_dds.evaluation.measure import Evaluator, load_judge
from i2i_dds.pipelines.editors import build_editor
from i2i_dds.research.bench.plain import plain_dds
from i2i_dds.research.bench.precisions import by_precision
from i2i_dds.research.bench.quality import Quality
from i2i_dds.research.bench.settings import (
    MOST_TARGETS,
    PLAIN_ITEMS,
    TOLERANCE,
    BenchSettings,
)
from i2i_dds.research.bench.timing import Way, compare, fastest, in_turn, times
from i2i_dds.tasks import Task, TaskSet

CAT2LION = TaskSet(
    [
        Task(
            "cat2lion",
            replace={"cat": "lion"},
            instruction="turn the cat into a lion",
            source={"species": "cat"},
            target={"species": "lion"},
        )
    ]
)
"""What is done to the pictures."""


def zero_shot_rows(
    teacher: Any, teacher_path: str, settings: BenchSettings, done: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """The three rows: the same result at uniform timesteps, and the preset at equal quality.

    Args:
        teacher: A Stable Diffusion teacher in float32.
        teacher_path: Where it was loaded from.
        settings: The sizes.
        done: Told of each row when it is there.
    """
    own = {"num_inference_steps": settings.preset_steps}
    preset: Any = build_editor("zero_shot", teacher.presets, **own)[0]
    uniform, public = _uniform(preset, settings.steps), public_descent(teacher, settings)
    teachers = by_precision(teacher, teacher_path, settings.dtype)
    worth = cache(lambda dtype: descent_worth(teachers[dtype], preset, settings))
    plain_worth = descent_worth(teacher, public, settings)
    rows: dict[str, dict[str, Any]] = {}
    for name, items in _items(teacher, settings.pictures, settings.targets).items():
        few = min(len(items), PLAIN_ITEMS)
        plain, ours = _plain(teacher, items, uniform, few), _ours(teacher, items, uniform)
        row = compare(plain, ours, len(items), settings.rounds, TOLERANCE)
        fast = {name: _ours(asked, items, preset) for name, asked in teachers.items()}
        dtype = fastest(fast)
        equal = times(_plain(teacher, items, public, 1), fast[dtype], settings.rounds)
        columns = Quality(settings.quality_n, plain_worth, worth(dtype)).columns(equal)
        rows[name] = {**row, **columns, "dtype": dtype, "items": len(items)}
        done(name)
    return rows


def growth(teacher: Any, settings: BenchSettings) -> dict[str, list[dict[str, float]]]:
    """Seconds an edit over how many there are: pictures of one batch, targets of one picture."""
    preset: Any = build_editor("zero_shot", teacher.presets)[0]
    editor = _uniform(preset, max(1, settings.steps // 4))
    named = _items(teacher, settings.growth, MOST_TARGETS)
    curves = {"pictures": named["zero_shot_batch16_per_image"]}
    curves["targets"] = named["zero_shot_8_targets"]
    found: dict[str, list[dict[str, float]]] = {}
    for name, items in curves.items():
        counts = [2**n for n in range(5) if 2**n <= min(settings.growth, len(items))]
        ways = [_ours(teacher, items[:count], editor) for count in counts]
        medians = in_turn(ways, settings.rounds)
        found[name] = [
            {"count": count, "seconds": one.wall, "cpu_seconds": one.cpu}
            for count, one in zip(counts, medians, strict=True)
        ]
    return found


def public_descent(teacher: Any, settings: BenchSettings) -> LatentOptimization:
    """The descent that public code would make: uniform timesteps and the step that suits them."""
    presets = teacher.presets["descent"]
    return LatentOptimization(
        steps=settings.plain_steps,
        lr=presets["lr"],
        guidance_scale=presets["guidance_scale"],
        timesteps=UniformTimesteps(presets["t_min"], presets["t_max"]),
    )


def descent_worth(teacher: Any, editor: Editor, settings: BenchSettings) -> dict[str, float]:
    """What a descent is worth on held-out scenes, which the same teacher encodes and decodes.

    The plain one runs in batches here: the rows show that this ends at the same latents.
    """
    evaluator = Evaluator(CAT2LION, teacher, load_judge("pocket"))
    data = build_eval_batch(evaluator, "test", settings.quality_n, 0, teacher.native_size)
    measured = data.measures(_edited(editor, data, settings.pictures))
    return {name: measured[name] for name in ("psnr_truth", "success")}


@torch.no_grad()
def _edited(editor: Editor, data: EvalBatch, batch_size: int) -> Tensor:
    """Latents of all scenes, edited in batches."""
    found, teacher = [], data.teacher
    for first in range(0, len(data.z), batch_size):
        part = slice(first, first + batch_size)
        batch = EditBatch(
            z_src=data.z[part],
            text_src=teacher.embed(data.sources[part]),
            text_tgt=teacher.embed(data.targets[part]),
            generators=item_generators(data.seed, data.batch["key"][part]),
        )
        found.append(finish(editor(teacher, batch)).z)
    return torch.cat(found)


def _uniform(preset: LatentOptimization, steps: int) -> LatentOptimization:
    """The preset's descent at uniform timesteps."""
    drawn: Any = preset.timesteps
    return replace(preset, steps=steps, timesteps=UniformTimesteps(drawn.t_min, drawn.t_max))


def _items(teacher: Any, pictures: int, targets: int) -> dict[str, list[EditItem]]:
    """Cats towards lions, and one cat towards other species."""
    drawn = scenes("val", pictures, species="cat")
    x = [to_tensor(render(scene, teacher.native_size)) for scene in drawn]
    cats = [EditItem(f"cat{n}", f"cat{n}", one, "a cat", "a lion") for n, one in enumerate(x)]
    others = [name for name in SPECIES if name != "cat"][:targets]
    towards = [replace(cats[0], name=name, target=f"a {name}") for name in others]
    return {
        "zero_shot_single": cats[:1],
        "zero_shot_batch16_per_image": cats,
        "zero_shot_8_targets": towards,
    }


def _plain(teacher: Any, items: Sequence[EditItem], editor: Any, count: int) -> Way:
    drawn = editor.timesteps

    def run(count: int) -> Tensor:
        found = []
        for item in items[:count]:
            (generator,) = item_generators(0, [item.key])
            found.append(
                plain_dds(
                    teacher,
                    item.x[None],
                    (item.source, item.target),
                    generator,
                    steps=editor.steps,
                    lr=editor.lr,
                    scale=editor.guidance_scale,
                    t_range=(drawn.t_min, drawn.t_max),
                ).cpu()
            )
        return torch.cat(found)

    return Way(run, count)


def _ours(teacher: Any, items: Sequence[EditItem], editor: Editor) -> Way:
    def run(count: int) -> Tensor:
        return torch.cat([e.z for e in edit_items(editor, teacher, items[:count], 0, count)])

    return Way(run, len(items))
