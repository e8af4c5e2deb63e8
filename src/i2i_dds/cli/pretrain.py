"""``python scripts/pretrain.py stage=...``: makes the pocket models, or reports on them."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.checks import choice, flag, integer, number, text
from i2i_dds.cli.app import entry_point, run_dir
from i2i_dds.cli.checks import check

_STAGES = {
    "sd": ("vae", "unet", "judge", "clip"),
    "flow": ("vae", "decoder", "transformer", "judge"),
}
"""Of each pocket; a class has them too, but importing it takes seconds."""


@entry_point("pretrain", resumes=True)
def main(cfg: DictConfig) -> Path:
    """Runs the stages asked for; returns the working folder, or the report's."""
    stages = _STAGES[cfg.pocket]
    recipes = {
        f"{stage}.{key}": rule
        for stage in stages
        for key, rule in {
            "n": integer(min=1),
            "steps": integer(min=1),
            "batch_size": integer(min=1),
            "lr": number(above=0),
            "precision": choice("32-true", "bf16-mixed"),
        }.items()
    }
    if "transformer" in stages:
        recipes["transformer.compile"] = flag()
    rules = {"stage": choice("all", "report", *stages), "seed": integer(min=0), "out": text()}
    shape = {"size": integer(min=32), "latent_channels": integer(min=1)}
    reported = {"report.n": integer(min=24), "report.n_t2i": integer(min=1)}
    check(cfg, {**rules, **shape, **recipes, **reported})
    return _report(cfg) if cfg.stage == "report" else _train(cfg)


def _train(cfg: DictConfig) -> Path:
    from i2i_dds.pretrain.flow_pocket import FlowPocket
    from i2i_dds.pretrain.sd_pocket import StableDiffusionPocket
    from i2i_dds.pretrain.stages import Recipe

    work, stages = Path(cfg.work), _STAGES[cfg.pocket]
    recipes = {name: Recipe(**cfg[name]) for name in stages}
    kind = {"sd": StableDiffusionPocket, "flow": FlowPocket}[cfg.pocket]
    shape = {name: cfg[name] for name in ("size", "channels", "latent_channels")}
    pretraining = kind(work, Path(cfg.out), recipes, cfg.seed, **shape)
    for stage in stages if cfg.stage == "all" else (cfg.stage,):
        pretraining.run(stage)
    return work


def _report(cfg: DictConfig) -> Path:
    from i2i_dds import pocket
    from i2i_dds.pretrain.report import as_json, report
    from i2i_dds.runs import run_folder, write_json

    found = Path(cfg.out)
    shipped = pocket.directory() / ("flow" if cfg.pocket == "flow" else "")
    weights = found if (found / "teacher").is_dir() else shipped
    with run_folder(run_dir()) as folder:
        result = report(weights, folder, cfg.report.n, cfg.report.n_t2i, cfg.seed)
        write_json(folder / "report.json", as_json(result))
    return run_dir()


if __name__ == "__main__":
    main()
