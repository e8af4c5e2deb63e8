"""Four short trainings, a healthy one and three that fail, and the figures of docs/dashboards.md.

    python scripts/dashboards.py                    trains what is not there yet, then draws
    python scripts/dashboards.py outputs/dashboards

A training has the length of the preset, 800 steps. 200 steps of four pictures are too few: after
them a healthy student makes no lions yet.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]

SHORT = [
    *("task=cat2lion", "seed=0", "threads=1"),
    *("trainer.val_check_interval=100", "trainer.log_every_n_steps=10"),
    *("data.n_val=16", "data.n_test=16", "final.n=16", "zero_shot.steps=2"),
    *("callbacks.pictures.n=3", "callbacks.pictures.zero_shot=null"),
]
RUNS = {
    "healthy": [],
    "identity": ["identity.start=1", "identity.end=1"],
    "over-guidance": ["guidance.end=15", "guidance.fraction=0"],
    "collapse": ["score=sds", "guidance.end=30", "guidance.fraction=0", "optimizer.lr=3e-3"],
}
PANELS = {
    "val/success": "success",
    "val/psnr_truth_gain": "PSNR gain, dB",
    "val/psnr_backdrop": "background PSNR, dB",
    "val/sharpness": "sharpness",
    "train/latent_gradient": "gradient of the latent",
    "train/identity": "distance from the source",
}


def train(folder: Path, name: str) -> None:
    """Trains one of them into ``folder / name``, unless it is there."""
    run = folder / name
    if not (run / "metrics.json").is_file():
        there = [f"hydra.run.dir={run}", f"paths.data_dir={folder / 'data'}"]
        command = [sys.executable, str(ROOT / "train.py"), *SHORT, *RUNS[name], *there]
        subprocess.run(command, check=True)


def logged(run: Path, key: str) -> tuple[list[int], list[float]]:
    """Steps and values of a key of the log."""
    with (run / "log" / "metrics.csv").open() as file:
        rows = [(int(row["step"]), float(row[key])) for row in csv.DictReader(file) if row.get(key)]
    return [step for step, _ in rows], [value for _, value in rows]


def draw_curves(folder: Path, path: Path) -> None:
    """A panel a number, a line a training."""
    figure, axes = plt.subplots(2, 3, figsize=(10.5, 5.6), layout="constrained")
    for axis, (key, title) in zip(axes.flat, PANELS.items(), strict=True):
        for name in RUNS:
            axis.plot(*logged(folder / name, key), label=name, linewidth=1.6)
        if key == "train/latent_gradient":
            axis.set_yscale("log")
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.savefig(path, dpi=110)


def draw_pictures(folder: Path, path: Path) -> None:
    """The last table of pictures of each training, side by side under its name."""
    figure, axes = plt.subplots(1, len(RUNS), figsize=(12, 3.9), layout="constrained")
    for axis, name in zip(axes, RUNS, strict=True):
        *_, last = sorted((folder / name / "pictures").glob("step-*.png"))
        axis.imshow(np.asarray(Image.open(last)))
        axis.set_title(name)
        axis.axis("off")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Trains, then draws into ``docs/``."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/dashboards").absolute()
    for name in RUNS:
        train(folder, name)
    draw_curves(folder, ROOT / "docs" / "dashboards_curves.png")
    draw_pictures(folder, ROOT / "docs" / "dashboards_pictures.png")


if __name__ == "__main__":
    main()
