"""The study as a picture: a row a dimension, a column a prior, the theorems as the legend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from i2i_dds.research.theory.curves import Curve
from i2i_dds.research.theory.report import DIMENSIONS, SENTENCES
from i2i_dds.runs import replacing

FLOOR = 1e-4  # nats; what is smaller, or by chance negative, is drawn here
_STYLE: dict[str, dict[str, Any]] = {
    "ode": {"color": "#c0392b", "marker": "o", "label": SENTENCES["ode"]},
    "sde": {"color": "#1f5fa8", "marker": "s", "label": SENTENCES["sde"]},
    "cycle_sde": {"color": "#2e8b57", "marker": "^", "label": SENTENCES["cycle_sde"]},
    "sde_limit": {
        "color": "black",
        "linestyle": ":",
        "label": "SDE with infinitely many steps, from its closed form.",
    },
}


def draw(path: Path, curves: Sequence[Curve], titles: dict[str, str], methods: str) -> None:
    """Writes the picture.

    Args:
        path: A .png.
        curves: Those of :func:`~i2i_dds.research.theory.report.study`.
        titles: A column's heading by the prior's name, in the order of the columns.
        methods: One line on how the curves were found.
    """
    figure = Figure(figsize=(4 * len(titles), 9.2), layout=None)
    axes = figure.subplots(len(DIMENSIONS), len(titles), sharex=True, sharey=True, squeeze=False)
    top = 2 * max(curve.kl[0] for curve in curves)
    for row, dimension in zip(axes, DIMENSIONS, strict=True):
        for panel, (prior, title) in zip(row, titles.items(), strict=True):
            _panel(panel, [c for c in curves if (c.dimension, c.prior) == (dimension, prior)])
            panel.set_ylim(FLOOR / 1.3, top)
            if dimension == DIMENSIONS[0]:
                panel.set_title(title, fontsize=12)
        row[0].set_ylabel(f"{dimension}-D data\nKL(p̃ₜ ‖ pₜ), nats", fontsize=11)
    figure.suptitle("What becomes of an edit's wrong prior on the way down", fontsize=16, y=0.985)
    handles, sentences = axes[0][0].get_legend_handles_labels()
    figure.legend(
        handles,
        sentences,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.962),
        fontsize=12,
        labelcolor="linecolor",
        frameon=False,
    )
    figure.subplots_adjust(left=0.06, right=0.99, top=0.805, bottom=0.12, wspace=0.06, hspace=0.08)
    figure.text(0.525, 0.07, "timestep t: editing runs from left to right", ha="center", size=11)
    figure.text(0.06, 0.015, methods, fontsize=9, color="0.35")
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110)


def _panel(panel: Axes, curves: Sequence[Curve]) -> None:
    for curve in curves:
        heights = [max(kl, FLOOR) for kl in curve.kl]
        panel.plot(curve.t, heights, markersize=4, linewidth=1.4, **_STYLE[curve.sampler])
    panel.set_yscale("log")
    first = max(curve.t[0] for curve in curves)
    panel.set_xlim(first * 1.03, -0.03 * first)
    ticks = [round(first * part) for part in (1, 0.75, 0.5, 0.25)]
    panel.set_xticks([*ticks, curves[0].t[-1]], [*map(str, ticks), "clean"])
    panel.grid(which="major", alpha=0.3)
