"""``python scripts/sde_study.py study=...``: SDE against ODE, a table and a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import (
    Rule,
    check,
    choice,
    flag,
    integer,
    listed,
    number,
    optional,
    several,
    text,
)
from i2i_dds.cli.drag import SETTINGS
from i2i_dds.errors import UserError

_RULES = {
    "clip": text(),
    "split": choice("val", "test"),
    "seed": integer(min=0),
    "batch_size": integer(min=1),
    "n": integer(min=2),
}
_SAMPLER = choice("sde", "ode", "cycle_sde")
_STUDIES: dict[str, dict[str, Rule]] = {
    "inpainting": {
        "ratios": several(number(above=0, max=1)),
        "samplers": several(choice("sde", "ode")),
        "steps": several(integer(min=1)),
        "guidance": number(min=0),
    },
    "translation": {
        "editors": several(choice("sdedit", "diffedit")),
        "samplers": several(_SAMPLER),
        "t0": several(number(above=0, max=1)),
        "steps": integer(min=1),
        "guidance": number(min=0),
        "threshold": number(above=0, max=1),
        "judge": optional(text()),
    },
    "dragging": {
        **{key: rule for key, rule in SETTINGS.items() if key not in ("size", "fit")},
        "use_lora": flag(),
        "samplers": several(_SAMPLER),
        "kinds": several(choice("head", "accessory", "ear")),
        "n_sensitivity": integer(min=1),
    },
}

Made = tuple[dict[str, Any], Any]
"""A row and, where there are some, its pictures."""


@entry_point("sde_study")
def main(cfg: DictConfig) -> Path:
    """Measures every setting, writes the run folder and returns it."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    from i2i_dds.cli.progress import progress
    from i2i_dds.evaluation.summary import write_csv
    from i2i_dds.evaluation.tables import markdown
    from i2i_dds.runs import replacing, run_folder, write_image, write_json, write_text
    from i2i_dds.studies.figures import FIGURES

    study = HydraConfig.get().runtime.choices["study"]
    if study not in _STUDIES:
        known = ", ".join(_STUDIES)
        raise UserError(f"study: '{study}' is one of scripts/analyse.py; give one of {known}")
    check(cfg, _RULES | _STUDIES[study])
    teacher = instantiate(cfg.teacher)
    rows: list[dict[str, Any]] = []
    with run_folder(run_dir()) as folder:
        with progress(f"Settings of {study}") as update:
            total, settings = _MADE_BY[study](cfg, teacher)
            update(0, total)
            for row, sheet in settings:
                rows.append(row)
                update(len(rows), total)
                if sheet is not None:
                    write_image(folder / "pictures" / f"{len(rows):02}.png", sheet)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        write_csv(folder / "table.csv", columns, rows)
        write_text(folder / "table.md", markdown(columns, rows))
        with replacing(folder / f"{study}.png") as partial:
            FIGURES[study](rows, partial)
        write_json(folder / "result.json", {"rows": rows, "config": resolved(cfg)})
    return run_dir()


def _inpainting(cfg: DictConfig, teacher: Any) -> tuple[int, Iterator[Made]]:
    from i2i_dds.metrics.clip import Clip
    from i2i_dds.studies.samplers import images, inpainting, reconstruction

    ratios, samplers, steps = (listed(cfg[key]) for key in ("ratios", "samplers", "steps"))
    settings = [(ratio, name, count) for ratio in ratios for name in samplers for count in steps]
    scenes, clip = _scenes(cfg, teacher), Clip.load(cfg.clip)

    def made() -> Iterator[Made]:
        yield reconstruction(teacher, clip, scenes), None
        for setting in settings:
            how = setting, cfg.guidance, cfg.seed, cfg.batch_size
            row, x = inpainting(teacher, clip, scenes, *how)
            yield row, _sheet(images(scenes), x, [scene["caption"] for scene in scenes], row)

    return len(settings) + 1, made()


def _translation(cfg: DictConfig, teacher: Any) -> tuple[int, Iterator[Made]]:
    from i2i_dds.data.edits import SceneEdits
    from i2i_dds.editing.automask import AutoMask
    from i2i_dds.evaluation.measure import Evaluator, load_judge
    from i2i_dds.metrics.clip import Clip
    from i2i_dds.studies.samplers import images, translation, translator
    from i2i_dds.tasks import TaskSet

    known = {"sdedit": ("sde", "ode"), "diffedit": ("sde", "ode", "cycle_sde")}
    settings = [
        (editor, sampler, t0)
        for editor in listed(cfg.editors)
        for sampler in listed(cfg.samplers)
        for t0 in listed(cfg.t0)
        if sampler in known[editor]
    ]
    if not settings:
        raise UserError("samplers: sdedit has no cycle_sde; give sde or ode, or editors=diffedit")
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    side = _side(teacher)
    data = SceneEdits(tasks, cfg.split, cfg.n, cfg.seed, side)
    scenes = [data[number] for number in range(len(data))]
    evaluator, clip = Evaluator(tasks, teacher, load_judge(cfg.judge)), Clip.load(cfg.clip)

    def made() -> Iterator[Made]:
        for editor, sampler, t0 in settings:
            how = translator(editor, sampler, cfg.steps, t0, cfg.guidance)
            where = None
            if editor == "diffedit":
                where = AutoMask(threshold=cfg.threshold, guidance=cfg.guidance)
            found = translation(evaluator, clip, scenes, how, where, cfg.seed, cfg.batch_size)
            row = {"editor": editor, "sampler": sampler, "t0": t0, **found[0]}
            words = [scene["target"] for scene in scenes]
            yield row, _sheet(images(scenes), found[1], words, row)

    return len(settings), made()


def _dragging(cfg: DictConfig, teacher: Any) -> tuple[int, Iterator[Made]]:
    from hydra.utils import instantiate

    from i2i_dds.cli.drag_run import dragged_item, first_timestep, lora_of, request_of
    from i2i_dds.data.dragbench import critter_items
    from i2i_dds.studies.drags import drag_row

    drag, lora = instantiate(cfg.drag), instantiate(cfg.lora)
    items = critter_items(cfg.split, cfg.n, cfg.seed, listed(cfg.kinds), _side(teacher))
    settings = [("sampler", name, {"sampler": name}, cfg.n) for name in listed(cfg.samplers)]
    for key, values in (cfg.sensitivity or {}).items():
        if key not in {field.name for field in fields(drag)}:
            raise UserError(f"sensitivity.{key}: no setting of a drag; give steps, t0, radius, ...")
        for value in listed(values):
            check(OmegaConf.create({key: value}), {key: SETTINGS[key]})
            settings.append((key, value, {key: value}, cfg.n_sensitivity))

    drags = [replace(drag, **change) for *_, change, _ in settings]
    for changed in drags:  # before the first of them has taken its time
        first_timestep(changed, teacher)

    def made() -> Iterator[Made]:
        for (varied, value, _, n), changed in zip(settings, drags, strict=True):
            done = []
            for truth in items[:n]:
                request = request_of(truth.item, teacher, None, "error")
                kept = lora_of(teacher, request, cfg, lora)
                done.append((truth, dragged_item(changed, teacher, request, cfg, kept)))
            yield {"varied": varied, "value": value, **drag_row(done, teacher.downscale)}, None

    return len(settings), made()


_MADE_BY: dict[str, Callable[[DictConfig, Any], tuple[int, Iterator[Made]]]] = {
    "inpainting": _inpainting,
    "translation": _translation,
    "dragging": _dragging,
}


def _scenes(cfg: DictConfig, teacher: Any) -> list[dict[str, Any]]:
    from i2i_dds.critters import render
    from i2i_dds.data.images import to_tensor
    from i2i_dds.data.sources import captioned_scenes

    side = _side(teacher)
    return [
        {"key": key, "image": to_tensor(render(scene, side)), "caption": words}
        for key, scene, words in captioned_scenes(cfg.split, cfg.n, cfg.seed)
    ]


def _sheet(x_src: Any, x: Any, words: Sequence[str], row: dict[str, Any], shown: int = 8) -> Any:
    from i2i_dds.data.images import to_pil
    from i2i_dds.evaluation.grid import grid

    name = " ".join(str(row[key]) for key in list(row)[:3])
    columns = {"source": x_src[:shown], name: x[:shown]}
    pictures = {header: [to_pil(one) for one in column] for header, column in columns.items()}
    return grid(pictures, list(words[:shown]))


def _side(teacher: Any) -> int:
    from i2i_dds.cli.sizes import native_size

    return native_size(teacher)


if __name__ == "__main__":
    main()
