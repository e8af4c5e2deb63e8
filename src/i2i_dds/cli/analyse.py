"""``python scripts/analyse.py study=...``: claims about the delta, a table and a figure each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
from i2i_dds.cli.progress import progress, say
from i2i_dds.errors import UserError

if TYPE_CHECKING:
    from i2i_dds.studies.held_out import Held

_RULES = {
    "setting": choice("full", "quick"),
    "n": integer(min=2),
    "seeds": several(integer(min=0)),
    "split": choice("val", "test"),
    "size": optional(integer(min=1)),
    "judge": text(),
    "guidance": number(min=0),
    "lr": number(above=0),
    "t_min": integer(min=0, max=999),
    "t_max": integer(min=1, max=1000),
}
_DESCENT: dict[str, Rule] = {
    "only": optional(several(text())),
    "at": several(integer(min=0)),
    "measures": several(text()),
    "probe": flag(),
}
_ON_TIMESTEPS: dict[str, Rule] = {
    "t": several(integer(min=0, max=999)),
    "noises": integer(min=1),
}
_STUDENT: dict[str, Rule] = {
    "only": optional(several(text())),
    "max_steps": integer(min=1),
    "pictures": integer(min=1),
    "task_steps": integer(min=1),
    "measures": several(text()),
    "folder": text(),
}
_STUDIES: dict[str, dict[str, Rule]] = {
    **dict.fromkeys(("bad_direction", "guidance", "optimizer", "prompts"), _DESCENT),
    **dict.fromkeys(("timesteps", "noise"), _DESCENT),
    "iterations": {**_DESCENT, "least": number(above=0, max=1)},
    "cosine": _ON_TIMESTEPS,
    "gradients": {**_ON_TIMESTEPS, "iterations": several(integer(min=0))},
    "student": _STUDENT,
}
SHOWN = 4
"""Scenes in pictures.png."""


class Findings(NamedTuple):
    """What a study found.

    Attributes:
        rows: One for each setting and seed.
        keys: The columns that tell settings apart.
        measures: The other columns.
        picture: Of edits, where there are some.
    """

    rows: list[dict[str, Any]]
    keys: Sequence[str]
    measures: Sequence[str]
    picture: Any = None


@entry_point("analyse")
def main(cfg: DictConfig) -> Path:
    """Measures, writes the run folder and returns it."""
    from hydra.core.hydra_config import HydraConfig

    from i2i_dds.evaluation.summary import write_csv
    from i2i_dds.evaluation.tables import markdown
    from i2i_dds.runs import replacing, run_folder, write_image, write_json, write_text
    from i2i_dds.studies.held_out import over_seeds

    study = HydraConfig.get().runtime.choices["study"]
    if study not in _STUDIES:
        known = ", ".join(_STUDIES)
        raise UserError(f"study: '{study}' is one of scripts/sde_study.py; give one of {known}")
    check(cfg, _RULES | _STUDIES[study])
    _check_measures(study, cfg)
    with run_folder(run_dir()) as folder:
        found = _find(study, cfg)
        lines = over_seeds(found.rows, found.keys, found.measures)
        columns = list(lines[0])
        write_csv(folder / "rows.csv", list(found.rows[0]), found.rows)
        write_csv(folder / "table.csv", columns, lines)
        shown = [*found.keys, *(listed(cfg.measures) if "measures" in cfg else found.measures)]
        write_text(folder / "table.md", markdown(shown, lines))
        with replacing(folder / f"{study}.png") as partial:
            _figure(study, cfg, lines, partial)
        if found.picture is not None:
            write_image(folder / "pictures.png", found.picture)
        write_json(folder / "result.json", {"lines": lines, "config": resolved(cfg)})
    return run_dir()


def _check_measures(study: str, cfg: DictConfig) -> None:
    """Before hours of work: whether what is to be drawn will be there."""
    from i2i_dds.cli.analyse_students import NUMBERS
    from i2i_dds.studies.descent import TRACED

    known = NUMBERS if study == "student" else TRACED
    for name in listed(cfg.measures) if "measures" in cfg else ():
        if name not in known:
            raise UserError(f"measures: {name!r} is not allowed; give some of {', '.join(known)}")


def _find(study: str, cfg: DictConfig) -> Findings:
    if study == "student":
        from i2i_dds.cli.analyse_students import students

        return students(cfg)
    return {"cosine": _cosine, "gradients": _gradients}.get(study, _descents)(cfg)


def _descents(cfg: DictConfig) -> Findings:
    from hydra.utils import instantiate

    from i2i_dds.studies.descent import TRACED, trace

    variants = {name: instantiate(part) for name, part in chosen(cfg).items()}
    seeds, at = listed(cfg.seeds), sorted(set(listed(cfg.at)))
    rows, pictures, sheet = [], {}, None
    with progress(f"Descents of {len(variants)} kinds") as update:
        done, total = 0, len(seeds) * len(variants) * len(at)
        for held in _held(cfg):
            for name, variant in variants.items():
                last = held.z
                for numbers, last in trace(variant, held, at, cfg.probe):  # noqa: B007
                    rows.append({"variant": name, **numbers, "seed": held.seed})
                    done += 1
                    update(done, total)
                if held.seed == seeds[0]:
                    pictures[name] = held.teacher.decode(last[:SHOWN])
                if rows[-1]["nonfinite"]:
                    say(f"{name}: {rows[-1]['nonfinite']} gradient entries were not finite")
            changes = any(variant.target == "target" for variant in variants.values())
            sheet = _sheet(held, pictures, changes) if sheet is None else sheet
    return Findings(rows, ("variant", "iteration"), TRACED, sheet)


def chosen(cfg: DictConfig) -> dict[str, Any]:
    """The variants that are asked for.

    Raises:
        UserError: One of them is not there.
    """
    there = {str(name): part for name, part in cfg.variants.items()}
    names = list(there) if cfg.only is None else listed(cfg.only)
    for name in names:
        if name not in there:
            raise UserError(f"only: {name!r} is not allowed; give some of {', '.join(there)}")
    return {name: there[name] for name in names}


def _cosine(cfg: DictConfig) -> Findings:
    from i2i_dds.studies.directions import cosines

    settled = listed(cfg.t), cfg.noises, cfg.guidance
    rows = [
        {**row, "seed": held.seed}
        for held in _held(cfg)
        for row in _counted(cosines(held, *settled), held, "Directions")
    ]
    return Findings(rows, ("pair", "t"), ("cosine",))


def _gradients(cfg: DictConfig) -> Findings:
    from hydra.utils import instantiate

    from i2i_dds.studies.directions import norms

    editor = instantiate(cfg.editor)
    settled = editor, listed(cfg.iterations), listed(cfg.t), cfg.noises
    rows = [
        {**row, "seed": held.seed}
        for held in _held(cfg)
        for row in _counted(norms(held, *settled), held, "Gradients")
    ]
    for row in rows:
        row["curve"] = f"{row['score']} after {row['iteration']}"
    return Findings(rows, ("curve", "t"), ("norm", "between"))


def _figure(study: str, cfg: DictConfig, lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    from i2i_dds.studies.curves import bars, curves

    if study == "student":
        bars(lines, "variant", listed(cfg.measures), path)
    elif study == "cosine":
        curves(lines, "t", "pair", ["cosine"], path)
    elif study == "gradients":
        curves(lines, "t", "curve", ["norm", "between"], path)
    else:
        curves(lines, "iteration", "variant", listed(cfg.measures), path)


def _held(cfg: DictConfig) -> Iterator[Held]:
    """The scenes of each seed."""
    from hydra.utils import instantiate

    from i2i_dds.cli.sizes import scene_size
    from i2i_dds.evaluation.measure import Evaluator, load_judge
    from i2i_dds.studies.held_out import held
    from i2i_dds.tasks import TaskSet

    teacher = instantiate(cfg.teacher)
    tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    evaluator = Evaluator(tasks, teacher, load_judge(cfg.judge))
    size = scene_size(cfg.size, teacher)
    for seed in listed(cfg.seeds):
        yield held(evaluator, cfg.split, cfg.n, seed, size)


def _counted(rows: Iterator[Any], held: Held, label: str) -> Iterator[Any]:
    """The rows, with how many there are on standard error."""
    from rich.console import Console

    with Console(stderr=True).status(f"{label}, seed {held.seed}") as status:
        for number, row in enumerate(rows, 1):
            status.update(f"{label}, seed {held.seed}: {number} rows")
            yield row


def _sheet(held: Held, pictures: Mapping[str, Any], changes: bool) -> Any:
    """What the variants ended with, beside the source and, if they are to change it, the answer."""
    from i2i_dds.data.images import to_pil
    from i2i_dds.evaluation.grid import grid

    columns = {"source": held.batch["image"], **pictures}
    columns |= {"exact answer": held.batch["truth"]} if changes else {}
    shown = {name: [to_pil(one) for one in x[:SHOWN]] for name, x in columns.items()}
    return grid(shown, list(held.batch["target" if changes else "source"])[:SHOWN], side=112)


if __name__ == "__main__":
    main()
