"""``python scripts/pretrain.py stage=...``: makes the pocket models, or reports on them."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.checks import choice, integer, number, text
from i2i_dds.cli.app import entry_point, run_dir
from i2i_dds.cli.checks import check

_STAGES = ("vae", "unet", "judge", "clip")


@entry_point("pretrain", resumes=True)
def main(cfg: DictConfig) -> Path:
    """Runs the stages asked for; returns the working folder, or the report's."""
    recipes = {
        f"{stage}.{key}": rule
        for stage in _STAGES
        for key, rule in {
            "n": integer(min=1),
            "steps": integer(min=1),
            "batch_size": integer(min=1),
            "lr": number(above=0),
            "precision": choice("32-true", "bf16-mixed"),
        }.items()
    }
    rules = {"stage": choice("all", "report", *_STAGES), "seed": integer(min=0), "out": text()}
    check(cfg, {**rules, **recipes, "report.n": integer(min=24), "report.n_t2i": integer(min=1)})
    return _report(cfg) if cfg.stage == "report" else _train(cfg)


def _train(cfg: DictConfig) -> Path:
    from i2i_dds.pretrain.stages import Pretraining, Recipe

    work = Path(cfg.work)
    recipes = {name: Recipe(**cfg[name]) for name in _STAGES}
    pretraining = Pretraining(work, Path(cfg.out), recipes, cfg.seed)
    for stage in _STAGES if cfg.stage == "all" else (cfg.stage,):
        pretraining.run(stage)
    return work


def _report(cfg: DictConfig) -> Path:
    from i2i_dds import pocket
    from i2i_dds.pretrain.report import as_json, report
    from i2i_dds.runs import run_folder, write_json

    found = Path(cfg.out)
    weights = found if (found / "teacher").is_dir() else pocket.directory()
    with run_folder(run_dir()) as folder:
        result = report(weights, folder, cfg.report.n, cfg.report.n_t2i, cfg.seed)
        write_json(folder / "report.json", as_json(result))
    return run_dir()


if __name__ == "__main__":
    main()
