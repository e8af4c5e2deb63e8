"""A benchmark of drags at a glance: its best, median and worst, and how the distances spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from i2i_dds.evaluation.drag_picture import BEFORE_AFTER
from i2i_dds.evaluation.drags import DragRow

SHOWN = 4
"""Items of each of best, median and worst."""

_LINE = 18


def ranked(rows: Sequence[DragRow]) -> list[DragRow]:
    """Rows that worked, best first.

    By the gain in PSNR to the truth where that is known, else by DragDiffusion's distance.
    """
    done = [row for row in rows if not row.error]
    if all(not math.isnan(row.number("psnr_truth")) for row in done):
        return sorted(
            done, key=lambda row: row.number("psnr_truth_source") - row.number("psnr_truth")
        )
    return sorted(done, key=lambda row: row.number("md_dragdiffusion"))


def contact_sheet(rows: Sequence[DragRow], pictures: Path) -> Image.Image | None:
    """The items' pictures below one another, with what was measured; None of no item.

    Args:
        rows: The benchmark's.
        pictures: A folder with ``<item's name>/`` and its before and after in it.
    """
    strips = [
        (f"{part}: {row.name}   {_numbers(row)}", _strip(pictures / row.name / BEFORE_AFTER))
        for part, row in best_median_worst(ranked(rows))
    ]
    if not strips:
        return None
    width = max(strip.width for _, strip in strips)
    sheet = Image.new("RGB", (width, sum(strip.height + _LINE for _, strip in strips)), "white")
    draw, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(size=12), 0
    for words, strip in strips:
        draw.text((6, top + 2), words, (40, 40, 40), font)
        sheet.paste(strip, (0, top + _LINE))
        top += strip.height + _LINE
    return sheet


def best_median_worst(order: Sequence[DragRow]) -> list[tuple[str, DragRow]]:
    """Up to :data:`SHOWN` of each with the word for it; of a few items, each once."""
    shown = min(SHOWN, max(1, len(order) // 3), len(order))
    middle, last = (len(order) - shown) // 2, len(order) - shown
    places = {place: "median" for place in range(middle, middle + shown)}
    places |= {place: "worst" for place in range(last, len(order))}
    places |= {place: "best" for place in range(shown)}
    return [(places[place], order[place]) for place in sorted(places)]


def histogram(rows: Sequence[DragRow], path: Path) -> None:
    """How far from their targets handles are found: items by DragDiffusion's mean distance."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    distances = [row.number("md_dragdiffusion") for row in rows if not row.error]
    figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
    axes.hist(distances, bins=min(20, max(5, len(distances) // 3)), color="#2a5cdc")
    axes.axvline(sum(distances) / len(distances), color="#e42830", label="mean over items")
    axes.set(xlabel="mean distance of an item, pixels (DragDiffusion's)", ylabel="items")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _strip(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _gain(row: DragRow) -> float:
    """Of the result over the untouched picture, in PSNR to the truth."""
    return row.number("psnr_truth") - row.number("psnr_truth_source")


def _numbers(row: DragRow) -> str:
    words = [f"distance {row.number('md_dragdiffusion'):.1f} px"]
    if not math.isnan(_gain(row)):
        words += [f"PSNR to truth {row.number('psnr_truth'):.1f} dB ({_gain(row):+.1f})"]
        words += ["arrived" if row.number("arrived") else "did not arrive"]
    return ", ".join(words)
