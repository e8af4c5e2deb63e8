"""A benchmark of drags at a glance: its best, median and worst, and how the distances spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from i2i_dds.evaluation.drags import DragRow

SHOWN = 4
"""Items of each of best, median and worst."""


def ranked(rows: Sequence[DragRow]) -> list[DragRow]:
    """Rows that worked, best first.

    By the gain in PSNR to the truth where that is known, else by DragDiffusion's distance a pair.
    """
    done = [row for row in rows if not row.error]
    if all(not math.isnan(row.psnr_truth) for row in done):
        return sorted(done, key=lambda row: row.psnr_truth_source - row.psnr_truth)
    return sorted(done, key=lambda row: row.md_dragdiffusion / max(1, row.pairs))


def contact_sheet(rows: Sequence[DragRow], pictures: Path) -> Image.Image | None:
    """The items' pictures below one another, with what was measured; None of no item.

    Args:
        rows: The benchmark's.
        pictures: A folder with ``<item's name>/before_after.png``.
    """
    order = ranked(rows)
    if not order:
        return None
    shown = min(SHOWN, max(1, len(order) // 3))
    middle = (len(order) - shown) // 2
    parts = {
        "best": order[:shown],
        "median": order[middle : middle + shown],
        "worst": order[-shown:],
    }
    strips = [
        (f"{part}: {row.name}   {_numbers(row)}", Image.open(pictures / row.name / PICTURE))
        for part, these in parts.items()
        for row in these
    ]
    width = max(strip.width for _, strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height + 18 for _, strip in strips)), "white")
    draw, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(size=12), 0
    for words, strip in strips:
        draw.text((6, top + 2), words, (40, 40, 40), font)
        sheet.paste(strip, (0, top + 18))
        top += strip.height + 18
    return sheet


PICTURE = "before_after.png"


def histogram(rows: Sequence[DragRow], path: Path) -> None:
    """How far from their targets handles are found, DragDiffusion's distance a pair."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    distances = [row.md_dragdiffusion / max(1, row.pairs) for row in rows if not row.error]
    figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
    axes.hist(distances, bins=min(20, max(5, len(distances) // 3)), color="#2a5cdc")
    axes.axvline(sum(distances) / len(distances), color="#e42830", label="mean over items")
    axes.set(xlabel="distance of a pair, pixels (DragDiffusion's)", ylabel="items")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _numbers(row: DragRow) -> str:
    found = [f"distance {row.md_dragdiffusion / max(1, row.pairs):.1f} px"]
    if not math.isnan(row.psnr_truth):
        gain = row.psnr_truth - row.psnr_truth_source
        found += [f"PSNR to truth {row.psnr_truth:.1f} dB ({gain:+.1f})"]
        found += ["arrived" if row.arrived else "did not arrive"]
    return ", ".join(found)
