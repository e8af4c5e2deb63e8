"""``python scripts/theory.py``: an ODE keeps the error of an edited prior, an SDE forgets it."""

from __future__ import annotations

import time
from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.checks import integer, number
from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check


@entry_point("theory")
def main(cfg: DictConfig) -> Path:
    """Writes theory.json, theory.csv and theory.png, and returns their folder."""
    check(
        cfg,
        {
            "steps": integer(min=2, max=1000),
            "particle_steps": integer(min=2, max=1000),
            "t_start": number(above=0, max=1),
            "samples": integer(min=100),
            "shift": number(above=0, max=3),
            "scale": number(min=0.3, max=1.4),
            "paste": number(above=0, max=0.9),
            "seed": integer(),
        },
    )
    from rich.console import Console
    from rich.progress import Progress

    from i2i_dds.evaluation.summary import write_csv
    from i2i_dds.research.theory.figure import draw
    from i2i_dds.research.theory.laws import mismatched
    from i2i_dds.research.theory.report import SENTENCES, Sizes, methods, study, summary, titles
    from i2i_dds.runs import run_folder, write_json

    sizes = Sizes(cfg.steps, cfg.particle_steps, cfg.samples, cfg.t_start)
    priors = mismatched(cfg.shift, cfg.scale, cfg.paste)
    began = time.perf_counter()
    with run_folder(run_dir()) as folder:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("theory", total=sizes.ticks)
            curves = study(priors, sizes, cfg.seed, lambda: progress.advance(bar))
        lines = (
            {"dimension": c.dimension, "prior": c.prior, "sampler": c.sampler, "t": t, "kl": kl}
            for c in curves
            for t, kl in zip(c.t, c.kl, strict=True)
        )
        write_csv(folder / "theory.csv", ["dimension", "prior", "sampler", "t", "kl"], lines)
        draw(folder / "theory.png", curves, titles(cfg.shift, cfg.scale), methods(sizes))
        seconds = round(time.perf_counter() - began, 1)
        numbers = {"theorems": SENTENCES, "settings": resolved(cfg), "seconds": seconds}
        write_json(folder / "theory.json", {**summary(curves), **numbers})
    return run_dir()


if __name__ == "__main__":
    main()
