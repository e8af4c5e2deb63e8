"""Studies of descents that differ in one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from PIL import Image

from i2i_dds.data.images import to_pil
from i2i_dds.data.sources import scene_size
from i2i_dds.diffusion.timesteps import (
    DescendingTimesteps,
    LowVarianceTimesteps,
    StratifiedTimesteps,
    UniformTimesteps,
)
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.editing.stopping import early_stop
from i2i_dds.errors import UserError
from i2i_dds.evaluation.aggregate import over_seeds
from i2i_dds.evaluation.grid import grid
from i2i_dds.evaluation.held_out import EvalBatch, build_eval_batch
from i2i_dds.evaluation.measure import Evaluator, load_judge
from i2i_dds.research.descent import UnsharedNoise, Variant, trace, traced
from i2i_dds.research.plots import plot_lines
from i2i_dds.research.studies.interface import StudyContext, StudyResult
from i2i_dds.research.studies.settings import DeltaSettings, DescentSettings, IterationsSettings
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.sds import SDS
from i2i_dds.teacher.presets import Presets

SHOWN = 4
"""Scenes in pictures.png."""

EARLY_STOP_WINDOW = 20
"""Steps whose agreement the early stop looks at."""


def descent(settings: DeltaSettings, presets: Presets) -> LatentOptimization:
    """The DDS descent of a study; what its settings leave open is the teacher's preset."""

    def value(name: str) -> Any:
        given = getattr(settings, name)
        return presets["descent"][name] if given is None else given

    return LatentOptimization(
        score=DDS(),
        lr=value("lr"),
        guidance_scale=value("guidance_scale"),
        timesteps=UniformTimesteps(value("t_min"), value("t_max")),
    )


def _bad_direction(dds: LatentOptimization, settings: DescentSettings) -> dict[str, Variant]:
    sds = replace(dds, score=SDS())
    return {
        "SDS": Variant(sds, target="caption"),
        "SDS, guidance 1": Variant(replace(sds, guidance_scale=1.0), target="caption"),
        "DDS": Variant(dds, target="caption"),
    }


def _iterations(dds: LatentOptimization, settings: DescentSettings) -> dict[str, Variant]:
    assert isinstance(settings, IterationsSettings)
    stop = early_stop(settings.least, EARLY_STOP_WINDOW)
    return {
        "DDS": Variant(dds),
        "DDS, early stop": Variant(replace(dds, stop=stop)),
        "SDS": Variant(replace(dds, score=SDS())),
    }


def _guidance(dds: LatentOptimization, settings: DescentSettings) -> dict[str, Variant]:
    scales = (1.0, 2.0, 3.0, 5.0, 7.5)
    return {f"guidance {scale:g}": Variant(replace(dds, guidance_scale=scale)) for scale in scales}


def _optimizer(dds: LatentOptimization, settings: DescentSettings) -> dict[str, Variant]:
    # In the long run each gradient counts ten times under this momentum.
    momentum = partial(torch.optim.SGD, momentum=0.9)
    adam = torch.optim.Adam
    return {
        "plain descent": Variant(dds),
        "momentum 0.9": Variant(replace(dds, lr=dds.lr / 10, optimizer=momentum)),
        "Adam, step 0.01": Variant(replace(dds, lr=0.01, optimizer=adam)),
        "Adam, step 0.03": Variant(replace(dds, lr=0.03, optimizer=adam)),
    }


def _prompts(dds: LatentOptimization, settings: DescentSettings) -> dict[str, Variant]:
    return {
        "right": Variant(dds, source="caption"),
        "empty": Variant(dds, source="empty"),
        "another scene": Variant(dds, source="another"),
    }


def _timesteps(dds: LatentOptimization, settings: DescentSettings) -> dict[str, Variant]:
    uniform = dds.timesteps
    assert isinstance(uniform, UniformTimesteps)
    t_min, t_max = uniform.t_min, uniform.t_max
    kinds = {
        "uniform": uniform,
        "descending": DescendingTimesteps(t_min, t_max),
        "stratified": StratifiedTimesteps(t_min, t_max),
        "low variance": LowVarianceTimesteps(t_min, t_max),
    }
    return {name: Variant(replace(dds, timesteps=kind)) for name, kind in kinds.items()}


def _noise(dds: LatentOptimization, settings: DescentSettings) -> dict[str, Variant]:
    return {
        "shared": Variant(dds),
        "independent": Variant(replace(dds, score=UnsharedNoise(SDS()))),
    }


VARIANTS: Mapping[str, Callable[[LatentOptimization, DescentSettings], dict[str, Variant]]] = {
    "bad_direction": _bad_direction,
    "iterations": _iterations,
    "guidance": _guidance,
    "optimizer": _optimizer,
    "prompts": _prompts,
    "timesteps": _timesteps,
    "noise": _noise,
}
"""Study -> its variants, from the teacher's DDS descent."""


def run(settings: DescentSettings, context: StudyContext) -> StudyResult:
    """Descends in every way, on every seed's scenes, and measures on the way.

    Raises:
        UserError: ``only`` or ``measures`` names what is not there.
    """
    for name in settings.measures:
        if name not in traced():
            known = ", ".join(traced())
            raise UserError(f"measures: {name!r} is not allowed; give some of {known}")
    base = descent(settings, context.teacher.presets)
    variants = _chosen(VARIANTS[context.name](base, settings), settings.only)
    at, total = sorted(set(settings.at)), len(settings.seeds) * len(variants) * len(settings.at)
    rows: list[dict[str, Any]] = []
    sheet = None
    for scenes in eval_batches(settings, context):
        pictures = {}
        for name, variant in variants.items():
            z = scenes.z
            for numbers, z in trace(variant, scenes, at, settings.probe):  # noqa: B007
                rows.append({"variant": name, **numbers, "seed": scenes.seed})
                context.on_progress(len(rows), total)
            pictures[name] = scenes.teacher.decode(z[:SHOWN])
            if rows[-1]["nonfinite"]:
                context.notify(f"{name}: {rows[-1]['nonfinite']} gradient entries were not finite")
        if sheet is None:
            changes = any(variant.target == "target" for variant in variants.values())
            sheet = _sheet(scenes, pictures, changes)
    assert sheet is not None
    lines = over_seeds(rows, ("variant", "iteration"), traced())
    return StudyResult(
        lines=lines,
        shown=("variant", "iteration", *settings.measures),
        plot=partial(plot_lines, lines, "iteration", "variant", settings.measures),
        rows=rows,
        pictures={"pictures": sheet},
    )


def eval_batches(settings: DeltaSettings, context: StudyContext) -> Iterator[EvalBatch]:
    """The scenes of each seed."""
    size = scene_size(settings.size, context.teacher)
    evaluator = Evaluator(context.tasks, context.teacher, load_judge(settings.judge))
    for seed in settings.seeds:
        yield build_eval_batch(evaluator, settings.split, settings.n, seed, size)


def _chosen(variants: dict[str, Variant], only: Sequence[str] | None) -> dict[str, Variant]:
    names = list(variants) if only is None else list(only)
    for name in names:
        if name not in variants:
            raise UserError(f"only: {name!r} is not allowed; give some of {', '.join(variants)}")
    return {name: variants[name] for name in names}


def _sheet(scenes: EvalBatch, pictures: Mapping[str, Any], changes: bool) -> Image.Image:
    """What the variants ended with, beside the source and, if it should change, the truth."""
    columns = {"source": scenes.batch["image"], **pictures}
    columns |= {"ground truth": scenes.batch["truth"]} if changes else {}
    shown = {name: [to_pil(one) for one in x[:SHOWN]] for name, x in columns.items()}
    return grid(shown, list(scenes.batch["target" if changes else "source"])[:SHOWN], side=112)
