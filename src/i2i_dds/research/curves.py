"""Figures of the analyses: a panel for each measure, a line for each variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from i2i_dds.research.figures import panels, save

TITLES = {
    "success": "judge: success",
    "psnr_truth_gain": "gain in PSNR to the exact answer, dB",
    "psnr_backdrop": "PSNR where nothing should change, dB",
    "sharpness_kept": "sharpness, of the source's",
    "drift": "distance from the source, RMS latent",
    "delta_loss": "delta loss over 19 timesteps",
    "gradient_norm": "step's gradient, RMS",
    "steps_taken": "steps taken",
    "cosine": "cosine with a matched pair's SDS direction",
    "norm": "gradient, RMS entry",
    "between": "its deviation across pictures",
    "collapse": "collapse",
}

_BACKDROP_TOP = 45.0
"""Most decibels drawn where nothing should change."""


def curves(
    lines: Sequence[Mapping[str, Any]], x: str, by: str, measures: Sequence[str], path: Path
) -> None:
    """Measures over x, with a band of a standard deviation over seeds.

    Args:
        lines: Of :func:`i2i_dds.research.held_out.over_seeds`.
        x: Column across.
        by: Column whose values are the lines.
        measures: Columns upwards, a panel each.
        path: Where to write the figure.
    """
    side = 3.6 if len(measures) > 1 else 5.5
    figure, axes = panels([TITLES.get(name, name) for name in measures], side)
    names = list(dict.fromkeys(line[by] for line in lines))
    for axis, measure in zip(axes, measures, strict=True):
        for number, name in enumerate(names):
            part = [line for line in lines if line[by] == name]
            across, upwards = ([line[key] for line in part] for key in (x, measure))
            axis.plot(across, upwards, "-o", ms=3, color=f"C{number % 10}", label=str(name))
            spread = [line.get(f"{measure}_spread", float("nan")) for line in part]
            low = [value - around for value, around in zip(upwards, spread, strict=True)]
            high = [value + around for value, around in zip(upwards, spread, strict=True)]
            axis.fill_between(across, low, high, color=f"C{number % 10}", alpha=0.15, lw=0)
        axis.set_xlabel(x)
        if measure == "psnr_backdrop":  # the untouched picture's 106 dB hide the rest
            axis.set_ylim(top=min(axis.get_ylim()[1], _BACKDROP_TOP))
    save(figure, axes, path, columns=min(4, 2 * len(measures)))


def bars(lines: Sequence[Mapping[str, Any]], by: str, measures: Sequence[str], path: Path) -> None:
    """Measures of variants that have no way, as bars; their names stand at the left alone."""
    figure, axes = panels([TITLES.get(name, name) for name in measures])
    names = [str(line[by]) for line in lines]
    for axis, measure in zip(axes, measures, strict=True):
        axis.barh(names, [line[measure] for line in lines], color="#9db8f2")
        axis.invert_yaxis()
        axis.tick_params(labelleft=axis.get_subplotspec().is_first_col())
    save(figure, axes, path)
