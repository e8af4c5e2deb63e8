"""Studies of samplers: inpainting and translation by SDE, ODE and Cycle-SDE."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from PIL import Image
from torch import Tensor

from i2i_dds.critters import render
from i2i_dds.data.edits import SceneEdits
from i2i_dds.data.images import to_pil, to_tensor
from i2i_dds.data.sources import captioned_scenes
from i2i_dds.editing.automask import AutoMask
from i2i_dds.errors import UserError
from i2i_dds.evaluation.grid import grid
from i2i_dds.evaluation.measure import Evaluator, load_judge
from i2i_dds.metrics.clip import Clip
from i2i_dds.research.samplers import images, inpainting, reconstruction, translation, translator
from i2i_dds.research.studies.interface import StudyContext, StudyResult
from i2i_dds.research.studies.plots import plot_inpainting, plot_translation
from i2i_dds.research.studies.settings import (
    InpaintingSettings,
    SamplerSettings,
    TranslationSettings,
)

KNOWN_SAMPLERS = {"sdedit": ("sde", "ode"), "diffedit": ("sde", "ode", "cycle_sde")}
"""Editor -> the samplers that it has."""

SHOWN = 8
"""Scenes in a setting's picture."""


def run(settings: SamplerSettings, context: StudyContext) -> StudyResult:
    """A row for each setting, in the order that they are given."""
    if isinstance(settings, InpaintingSettings):
        return _inpainting(settings, context)
    assert isinstance(settings, TranslationSettings)
    return _translation(settings, context)


def _inpainting(settings: InpaintingSettings, context: StudyContext) -> StudyResult:
    teacher, clip = context.teacher, Clip.load(settings.clip)
    scenes: list[dict[str, Any]] = [
        {"key": key, "image": to_tensor(render(scene, teacher.native_size)), "caption": words}
        for key, scene, words in captioned_scenes(
            settings.split,  # type: ignore[arg-type]
            settings.n,
            settings.seed,
        )
    ]
    asked = [
        (ratio, sampler, steps)
        for ratio in settings.ratios
        for sampler in settings.samplers
        for steps in settings.steps
    ]
    rows, pictures = [reconstruction(teacher, clip, scenes)], {}
    context.on_progress(1, len(asked) + 1)
    for one in asked:
        row, x = inpainting(
            teacher, clip, scenes, one, settings.guidance_scale, settings.seed, settings.batch_size
        )
        rows.append(row)
        captions = [scene["caption"] for scene in scenes]
        pictures[f"pictures/{len(rows):02}"] = _sheet(images(scenes), x, captions, row)
        context.on_progress(len(rows), len(asked) + 1)
    return StudyResult(rows, list(rows[0]), partial(plot_inpainting, rows), pictures=pictures)


def _translation(settings: TranslationSettings, context: StudyContext) -> StudyResult:
    asked = [
        (editor, sampler, strength)
        for editor in settings.editors
        for sampler in settings.samplers
        for strength in settings.strength
        if sampler in KNOWN_SAMPLERS[editor]
    ]
    if not asked:
        raise UserError("samplers: sdedit has no cycle_sde; give sde or ode, or editors=diffedit")
    teacher, clip = context.teacher, Clip.load(settings.clip)
    data = SceneEdits(
        context.tasks,
        settings.split,  # type: ignore[arg-type]
        settings.n,
        settings.seed,
        teacher.native_size,
    )
    scenes = [data[number] for number in range(len(data))]
    evaluator = Evaluator(context.tasks, teacher, load_judge(settings.judge))
    rows: list[dict[str, Any]] = []
    pictures = {}
    for editor, sampler, strength in asked:
        automask = None
        if editor == "diffedit":
            automask = AutoMask(
                threshold=settings.threshold, guidance_scale=settings.guidance_scale
            )
        numbers, x = translation(
            evaluator,
            clip,
            scenes,
            translator(editor, sampler, settings.steps, strength, settings.guidance_scale),
            automask,
            settings.seed,
            settings.batch_size,
        )
        rows.append({"editor": editor, "sampler": sampler, "t0": strength, **numbers})
        targets = [scene["target"] for scene in scenes]
        pictures[f"pictures/{len(rows):02}"] = _sheet(images(scenes), x, targets, rows[-1])
        context.on_progress(len(rows), len(asked))
    return StudyResult(rows, list(rows[0]), partial(plot_translation, rows), pictures=pictures)


def _sheet(x_src: Tensor, x: Tensor, words: Sequence[str], row: dict[str, Any]) -> Image.Image:
    name = " ".join(str(row[key]) for key in list(row)[:3])
    columns = {"source": x_src[:SHOWN], name: x[:SHOWN]}
    pictures = {header: [to_pil(one) for one in column] for header, column in columns.items()}
    return grid(pictures, list(words[:SHOWN]))
