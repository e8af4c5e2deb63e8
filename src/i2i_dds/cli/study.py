"""``python scripts/study.py study=...``: a claim put to the test, with a table and a figure."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import choice, flag, text
from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.progress import notify, progress_bar
from i2i_dds.research.studies.settings import STUDIES, Study, StudySettings

_PRESETS = ("guidance_scale", "lr", "t_min", "t_max")
"""Settings that the teacher's presets have, where a study leaves them open."""


@entry_point(
    "study",
    moved={
        "variants": "they are written in research/studies/descents.py; only= chooses among them",
        "shared": "train with train.py, and give the runs as runs=<folder of the sweep>",
        "folder": "train with train.py, and give the runs as runs=<folder of the sweep>",
    },
)
def main(cfg: DictConfig) -> Path:
    """Runs the study, writes the run folder and returns it."""
    from hydra.core.hydra_config import HydraConfig

    from i2i_dds.cli.drag import lora_of
    from i2i_dds.cli.keys import build
    from i2i_dds.research.studies.interface import StudyContext
    from i2i_dds.research.studies.run import run_study
    from i2i_dds.runs import run_folder
    from i2i_dds.tasks import TaskSet

    check(cfg, {"setting": choice("full", "quick")})
    name = HydraConfig.get().runtime.choices["study"]
    study, settings = STUDIES[name], _settings(STUDIES[name], cfg)
    drag = lora = None
    if "drag" in study.groups:
        check(cfg, {"use_lora": flag(), "lora_dir": text()})
        drag, lora = build(cfg, "drag"), lora_of(cfg)
    with run_folder(run_dir()) as folder, progress_bar(name) as update:
        context = StudyContext(
            name=name,
            teacher=build(cfg, "teacher") if study.teaches else None,
            tasks=TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True)),
            drag=drag,
            lora=lora,
            on_progress=update,
            notify=notify,
        )
        run_study(study, settings, context, folder, resolved(cfg))
    return run_dir()


def _settings(study: Study, cfg: DictConfig) -> StudySettings:
    """The study's settings as they were typed."""
    kind = type(study.full)
    values: dict[str, Any] = {}
    for one in fields(kind):
        value = cfg[one.name]
        plain = OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
        listed = isinstance(getattr(study.full, one.name), tuple) or one.name in ("only", "runs")
        values[one.name] = [plain] if listed and isinstance(plain, str | int | float) else plain
    return kind(**values)


def _node(study: Study) -> dict[str, Any]:
    """The study as a choice of Hydra's group ``study``: its settings at the root of the config."""
    full, quick = asdict(study.full), asdict(study.quick or study.full)
    shared = {key: value for key, value in full.items() if value == quick[key]}
    sizes = {
        size: {key: value for key, value in values.items() if key not in shared}
        for size, values in (("full", full), ("quick", quick))
    }
    left_open = [key for key in _PRESETS if key in shared and shared[key] is None]
    presets = {key: f"${{teacher.presets.descent.{key}}}" for key in left_open}
    groups = [{f"/{group}": name} for group, name in study.groups.items()]
    return {
        **({"defaults": groups} if groups else {}),
        **({"lora_dir": "${paths.lora_dir}"} if "lora" in study.groups else {}),
        "sizes": sizes,
        **shared,
        **{key: f"${{sizes.${{setting}}.{key}}}" for key in sizes["full"]},
        **presets,
        "hydra": {"help": {"header": study.summary}},
    }


def _register() -> None:
    store = ConfigStore.instance()
    for name, study in STUDIES.items():
        store.store(name, OmegaConf.create(_node(study)), group="study", package="_global_")


_register()


if __name__ == "__main__":
    main()
