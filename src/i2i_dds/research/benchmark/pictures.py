"""The benchmark's pictures: the frontier of success against preservation, and the edits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds.evaluation.aggregate import MetricRow
from i2i_dds.evaluation.grid import grid
from i2i_dds.research.benchmark.table import ALL
from i2i_dds.research.plots import label_of, panels, save

SOURCE, TRUTH = "source", "ground truth"


def frontier(
    lines: Sequence[MetricRow], axes: Sequence[tuple[str, str, str]], path: Path, edit: str = ALL
) -> None:
    """Each editor as a curve over its strength.

    Args:
        lines: Of :func:`i2i_dds.research.benchmark.table.table`.
        axes: For each panel the column across, the column upwards and the title.
        path: Where to write it.
        edit: Whose lines are drawn.
    """
    from matplotlib import colormaps

    # Its colors come in pairs: the ten strong ones first, then the ten pale ones.
    colors = [colormaps["tab20"](number) for number in (*range(0, 20, 2), *range(1, 20, 2))]
    figure, panes = panels([title for *_, title in axes], side=5.0)
    drawn = [line for line in lines if line["edit"] == edit]
    editors = list(dict.fromkeys(line["editor"] for line in drawn))
    for axis, (across, upwards, _) in zip(panes, axes, strict=True):
        for number, editor in enumerate(editors):
            points = [line for line in drawn if line["editor"] == editor]
            points.sort(key=lambda line: _order(line["strength"]))
            x, y = ([line[name] for line in points] for name in (across, upwards))
            color, marker = colors[number % 20], "os^Dv"[number // 10 % 5]
            size = 4 if len(points) > 1 else 7  # one that stands alone has no line to be seen by
            axis.plot(x, y, "-", marker=marker, ms=size, color=color, label=editor, alpha=0.85)
            if len(points) > 1 and not any(map(math.isnan, (x[-1], y[-1]))):
                axis.annotate(
                    f"{points[-1]['strength']:g}", (x[-1], y[-1]), fontsize=7, color=color,
                    xytext=(3, 3), textcoords="offset points",
                )  # fmt: skip
        axis.set_xlabel(label_of(across))
        axis.set_ylabel(label_of(upwards))
    save(figure, panes, path, columns=5)


def contact_sheet(
    folder: Path, editors: Sequence[str], captions: Mapping[str, str]
) -> Image.Image | None:
    """The source, every editor's edit and, where known, the ground truth; a row a picture.

    Args:
        folder: Holds ``<editor>/<name>.png``, those of :data:`SOURCE` and :data:`TRUTH` included.
        editors: Columns; one without pictures is left out.
        captions: Name -> what it was to become.

    Returns:
        None where no pictures were kept.
    """
    columns: dict[str, list[Image.Image]] = {}
    for editor in (SOURCE, *editors, TRUTH):
        paths = [folder / editor / f"{name}.png" for name in captions]
        if paths and all(path.is_file() for path in paths):
            columns[editor] = [_read(path) for path in paths]
    return grid(columns, list(captions.values()), side=96) if columns else None


def _read(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _order(strength: Any) -> float:
    return -math.inf if strength is None else strength
