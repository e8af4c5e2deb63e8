"""Plots of measured numbers: panels, lines with their spread, bars."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from i2i_dds.evaluation.against_truth import TRUTH_METRICS
from i2i_dds.evaluation.metric import METRICS
from i2i_dds.evaluation.piebench import PIE_METRICS

OTHER_LABELS = {
    "sharpness_kept": "sharpness, of the source's",
    "drift": "distance from the source, RMS latent",
    "delta_loss": "delta loss over 19 timesteps",
    "gradient_norm": "step's gradient, RMS",
    "steps_taken": "steps taken",
    "cosine": "cosine with a matched pair's SDS direction",
    "norm": "gradient, RMS entry",
    "between": "its deviation across pictures",
    "collapse": "collapse",
    "fid": "Fréchet distance in CLIP features",
    "distance": "perceptual distance",
    "arrived": "drag success",
}
"""What plots call a column that is no :class:`i2i_dds.evaluation.metric.Metric`."""

_METRICS = ChainMap(METRICS, TRUTH_METRICS, PIE_METRICS)

_BACKDROP_TOP = 45.0
"""Most decibels drawn where nothing should change."""


def label_of(column: str) -> str:
    """What plots call a column: a metric's title, or its name where nothing else is known."""
    metric = _METRICS.get(column)
    return OTHER_LABELS.get(column, column) if metric is None else metric.title


def plot_lines(
    lines: Sequence[Mapping[str, Any]], x: str, by: str, measures: Sequence[str], path: Path
) -> None:
    """Measures over x, with a band of a standard deviation over seeds.

    Args:
        lines: Of :func:`i2i_dds.evaluation.aggregate.over_seeds`.
        x: Column across.
        by: Column whose values are the lines.
        measures: Columns upwards, a panel each.
        path: Where to write the figure.
    """
    side = 3.6 if len(measures) > 1 else 5.5
    figure, axes = panels([label_of(name) for name in measures], side)
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


def plot_bars(
    lines: Sequence[Mapping[str, Any]], by: str, measures: Sequence[str], path: Path
) -> None:
    """Measures of variants that have no way, as bars; their names stand at the left alone."""
    figure, axes = panels([label_of(name) for name in measures])
    names = [str(line[by]) for line in lines]
    for axis, measure in zip(axes, measures, strict=True):
        axis.barh(names, [line[measure] for line in lines], color="#9db8f2")
        axis.invert_yaxis()
        axis.tick_params(labelleft=axis.get_subplotspec().is_first_col())
    save(figure, axes, path)


def panels(titles: Sequence[str], side: float = 3.6) -> tuple[Any, list[Any]]:
    """A figure with an axis for each title, in rows of at most four, `side` inches each."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = 3 if len(titles) in (5, 6) else min(4, len(titles))
    rows = -(-len(titles) // columns)
    size = (side * columns, 0.9 * side * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    flat = list(axes.flat)
    for axis, title in zip(flat, titles, strict=False):
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.25)
    for axis in flat[len(titles) :]:
        axis.remove()
    return figure, flat[: len(titles)]


def save(figure: Any, axes: Sequence[Any], path: Path, columns: int = 4) -> None:
    """Writes and closes a figure, with one legend for all its panels beneath them."""
    import matplotlib.pyplot as plt

    lines, labels = axes[0].get_legend_handles_labels()
    if lines:
        options = {"ncols": columns, "frameon": False, "fontsize": 9}
        figure.legend(lines, labels, loc="outside lower center", **options)
    figure.savefig(path, dpi=120)
    plt.close(figure)
