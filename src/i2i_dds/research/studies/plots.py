"""Plots of the sampler studies: one line a sampler."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from i2i_dds.evaluation.aggregate import MetricRow
from i2i_dds.research.plots import label_of, panels, save

COLORS = {"sde": "#e07b00", "ode": "#2a5cdc", "cycle_sde": "#1a8f4b"}
_STYLES = ("-", "--", ":")


def plot_inpainting(rows: Sequence[MetricRow], path: Path) -> None:
    """Frechet and perceptual distance over steps; one line a sampler and hole."""
    floor = next(row for row in rows if row["sampler"] == "reconstruction")
    rows = [row for row in rows if row is not floor]
    columns = ("fid", "distance")
    figure, axes = panels([label_of(name) for name in columns])
    ratios = sorted({row["ratio"] for row in rows})
    for axis, key in zip(axes, columns, strict=True):
        for style, ratio in zip(cycle(_STYLES), ratios, strict=False):
            part = [row for row in rows if row["ratio"] == ratio]
            _lines(axis, part, "steps", key, style, f" {ratio:.0%} hole")
        axis.axhline(floor[key], color="#999999", lw=1, label="reconstruction")
        axis.set_xlabel("steps")
    save(figure, axes, path)


def plot_translation(rows: Sequence[MetricRow], path: Path) -> None:
    """Success, likeness to the truth, and what was disturbed, over the strength."""
    columns = ("success", "psnr_truth_gain", "fid", "distance")
    figure, axes = panels([label_of(name) for name in columns])
    for axis, key in zip(axes, columns, strict=True):
        for style, editor in zip(_STYLES, ("sdedit", "diffedit"), strict=False):
            part = [row for row in rows if row["editor"] == editor]
            _lines(axis, part, "t0", key, style, f" {editor}")
        axis.set_xlabel("strength")
    save(figure, axes, path)


def plot_dragging(rows: Sequence[MetricRow], path: Path) -> None:
    """What arrived as bars and the gain, of samplers, then of each varied setting.

    All panels have one scale: what matters little looks so.
    """
    varied = list(dict.fromkeys(row["varied"] for row in rows))
    gains = [row["psnr_truth_gain"] for row in rows]
    room = 0.05 * (max(gains) - min(gains)) or 1.0
    figure, axes = panels(varied)
    for axis, name in zip(axes, varied, strict=True):
        part = [row for row in rows if row["varied"] == name]
        places = list(range(len(part)))
        axis.bar(places, [row["arrived"] for row in part], 0.6, color="#9db8f2")
        axis.set_xticks(places, [str(row["value"]) for row in part])
        axis.set_ylim(0, 1)
        axis.set_ylabel(label_of("arrived"), color="#2a5cdc")
        gain = axis.twinx()
        gain.plot(places, [row["psnr_truth_gain"] for row in part], "o-", color="#e07b00")
        gain.set_ylim(min(gains) - room, max(gains) + room)
        gain.set_ylabel(label_of("psnr_truth_gain"), color="#e07b00")
    save(figure, axes, path)


def _lines(axis: Any, rows: Sequence[MetricRow], x: str, y: str, style: str, suffix: str) -> None:
    for sampler, color in COLORS.items():
        part = sorted((row for row in rows if row["sampler"] == sampler), key=lambda row: row[x])
        if part:
            places, values = [row[x] for row in part], [row[y] for row in part]
            axis.plot(places, values, style, marker="o", ms=4, color=color, label=sampler + suffix)
