"""What the bench found: a file of numbers, a table, a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from i2i_dds.evaluation.tables import markdown_of_cells
from i2i_dds.research.plots import panels, save
from i2i_dds.runs import replacing, write_json, write_text

AIMS: dict[str, tuple[float | None, float | None]] = {
    "zero_shot_single": (1.8, 4.0),
    "zero_shot_batch16_per_image": (3.0, 8.0),
    "zero_shot_8_targets": (3.0, 8.0),
    "sde_drag": (2.0, 4.0),
    "sde_drag_batch16": (None, None),
    "training": (1.5, 2.5),
    "training_4_tasks": (None, None),
}
"""Rows -> plain / ours that is aimed at on two cores: for the same result, at equal quality."""

_HEADERS = (
    *("", "plain, s", "ours, s", "plain / ours", "aim", "CPU time, plain / ours"),
    *("equal quality", "aim", "differ by"),
)


def write_report(folder: Path, found: Mapping[str, Any]) -> None:
    """Writes bench.json, table.md and, of a whole bench, bench.png."""
    write_json(folder / "bench.json", found)
    write_text(folder / "table.md", table(found))
    if "growth" in found:
        with replacing(folder / "bench.png") as partial:
            draw(found, partial)


def table(found: Mapping[str, Any]) -> str:
    """The rows in Markdown, and under them the network's share and the crowded machine."""
    lines = []
    for name, (same, equal) in AIMS.items():
        if name not in found:
            continue
        row = found[name]
        seconds = [row["plain_s"], row["ours_s"], row["ratio"], same, row.get("ratio_cpu")]
        lines.append([name, *seconds, row["ratio_equal_quality"], equal, row["max_difference"]])
    text = markdown_of_cells(_HEADERS, lines, align_right=True)
    if "teacher_share_of_peak" not in found:
        return text
    shares = found["teacher_share_of_peak"]
    cells = [["eager", shares["batch4"], shares["batch32"]]]
    for name, called in (("compiled", "compiled"), ("onnx", "by ONNX Runtime")):
        if (own := shares[name]) is not None:
            cells.append([called, own["batch4"], own["batch32"]])
    headers = ["share of the matrix product's rate", "batch 4", "batch 32"]
    text += "\n" + markdown_of_cells(headers, cells, align_right=True)
    if found["crowded"] is not None:
        headers = ["beside two busy processes", "before", "after"]
        cells = [
            [name, found["crowded"][f"before{end}"], found["crowded"][f"after{end}"]]
            for name, end in (("seconds", "_s"), ("seconds of the CPU", "_cpu_s"))
        ]
        text += "\n" + markdown_of_cells(headers, cells, align_right=True)
    return text


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Growth curves, and the ratios as bars with the aims across them."""
    curves = found["growth"]
    figure, axes = panels([f"seconds an edit over {name}" for name in curves] + ["plain / ours"])
    for axis, lines in zip(axes, curves.values(), strict=False):
        counts = [line["count"] for line in lines]
        axis.plot(counts, [line["seconds"] for line in lines], "-o", ms=3, label="clock")
        axis.plot(counts, [line["cpu_seconds"] for line in lines], "--s", ms=3, label="CPU")
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.set_ylim(bottom=0)
    names = [name for name in AIMS if found[name]["ratio"] is not None]
    axes[-1].barh(names, [found[name]["ratio"] for name in names], 0.5, color="#9db8f2")
    for place, name in enumerate(names):
        if (aim := AIMS[name][0]) is not None:
            axes[-1].vlines(aim, place - 0.3, place + 0.3, color="#c0392b")
    axes[-1].invert_yaxis()
    axes[-1].set_xlabel("same result; the aim in red")
    save(figure, axes, path)
