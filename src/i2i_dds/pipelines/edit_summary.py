"""What a run of edits has about all of them: a comparison, the steps, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds.data.images import load_image, to_pil, to_tensor
from i2i_dds.editing.batches import EditItem, Point
from i2i_dds.evaluation.grid import difference, grid
from i2i_dds.evaluation.measure import EditRow
from i2i_dds.evaluation.summary import Evaluation, write_csv
from i2i_dds.pipelines.edit_inputs import EditInputs
from i2i_dds.runs import write_image, write_json

SHOWN = 16
"""Items in comparison.png."""


def write_summary(
    folder: Path,
    pictures: Path,
    inputs: EditInputs,
    parts: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
) -> Evaluation | None:
    """Writes what is about the whole run, from what its batches left behind.

    Args:
        folder: Of the run.
        pictures: Where the edits that the comparison shows are, as they were made.
        inputs: All that was asked for.
        parts: What each batch left.
        settings: What was run, for result.json.

    Returns:
        The numbers, where edits were measured.
    """
    write_image(folder / "comparison.png", _comparison(folder, pictures, inputs))
    order = {request.name: i for i, request in enumerate(inputs.requests)}
    points = [point for part in parts for point in part["points"]]
    write_csv(folder / "trajectory.csv", [field.name for field in fields(Point)], points)
    items = [item for part in parts for item in part["items"]]
    items.sort(key=lambda item: order[item["name"]])
    nonfinite = sum(part["nonfinite"] for part in parts)
    seconds = sum(item["seconds"] for item in items)
    result: dict[str, Any] = {"n": len(items), "nonfinite": nonfinite}
    result |= {"evaluations": sum(part["nfe"] for part in parts)}
    result |= {"seconds": seconds, "seconds_per_image": seconds / len(items)}
    rows = tuple(_row(values) for part in parts for values in part["rows"])
    evaluation = Evaluation(rows, nonfinite) if rows else None
    if evaluation is not None:
        evaluation.write_csv(folder / "rows.csv")
        write_json(folder / "metrics.json", evaluation.metrics())
        result["metrics"] = evaluation.metrics()
    result["unreadable"] = [
        {"file": file, "reason": reason} for file, reason in inputs.unreadable.items()
    ]
    write_json(folder / "result.json", {**result, "items": items, "config": settings})
    return evaluation


def _row(values: Mapping[str, Any]) -> EditRow:
    """A row as it was written; what is no number was written as null."""
    numbers = {name: _number(value) for name, value in values["values"].items()}
    return EditRow(values["key"], values["task"], numbers, _number(values["seconds"]))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _comparison(folder: Path, pictures: Path, inputs: EditInputs) -> Image.Image:
    shown = [request.read() for request in inputs.requests[:SHOWN]]
    items = [one.item for one in shown]
    edits = [load_image(pictures / f"{item.name}.png") for item in items]
    masks = [_mask(folder, item) for item in items]
    columns = {
        "source": [to_pil(item.x) for item in items],
        "edit": edits,
        "difference": [
            to_pil(difference(to_tensor(edit), item.x))
            for edit, item in zip(edits, items, strict=True)
        ],
    }
    known = [mask for mask in masks if mask is not None]
    if len(known) == len(items):
        columns["mask"] = known
    truths = [to_pil(one.scene["truth"]) for one in shown if one.scene is not None]
    if truths:
        columns["truth"] = truths
    captions = [f"{item.source or '(no source prompt)'} -> {item.target}" for item in items]
    return grid(columns, captions, side=_side(items))


def _mask(folder: Path, item: EditItem) -> Image.Image | None:
    """The mask that was found for an item, or its own."""
    if (folder / "mask" / f"{item.name}.png").is_file():
        return load_image(folder / "mask" / f"{item.name}.png").convert("L")
    return None if item.mask is None else to_pil(item.mask)


def _side(items: Sequence[EditItem]) -> int:
    """A cell of the comparison: twice to four times a small picture, a large one cut to 256."""
    return min(256, max(144, 2 * max(max(item.x.shape[-2:]) for item in items)))
