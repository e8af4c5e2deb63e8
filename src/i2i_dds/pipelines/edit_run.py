"""A run of edits on disk: pictures, a comparison, the steps and every number with its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds.data.edits import collate
from i2i_dds.data.images import to_pil
from i2i_dds.editing.batches import Edited, EditItem, Point
from i2i_dds.evaluation.grid import cells, difference, grid
from i2i_dds.evaluation.measure import EditRow, Evaluator
from i2i_dds.evaluation.summary import Evaluation, write_csv
from i2i_dds.metrics.image import psnr, sharpness
from i2i_dds.pipelines.pictures import restore
from i2i_dds.runs import write_image, write_json

SHOWN = 16
"""Items in comparison.png."""


@dataclass(frozen=True)
class EditInputs:
    """What to edit.

    Attributes:
        items: The pictures with their prompts.
        files: Item's name -> the file it came from.
        held_out: Item's name -> the scene's entry in the data set, with its truth.
        sizes: Item's name -> (width, height) of its result.
    """

    items: tuple[EditItem, ...]
    files: dict[str, str] = field(default_factory=dict)
    held_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class EditRun:
    """What has been edited so far, and the folder it goes into.

    Attributes:
        folder: Of the run.
        inputs: All that is to be edited.
        done: The batches so far.
        rows: The numbers of each edit, where they can be measured.
    """

    folder: Path
    inputs: EditInputs
    done: list[Edited] = field(default_factory=list)
    rows: list[EditRow] = field(default_factory=list)

    def add(self, edited: Edited, evaluator: Evaluator | None) -> None:
        """Writes the pictures of a batch and measures them."""
        self.done.append(edited)
        for i, (item, x) in enumerate(zip(edited.items, edited.x, strict=True)):
            image = restore(x, self.inputs.sizes[item.name])
            write_image(self.folder / "edited" / f"{item.name}.png", image)
            if edited.frames:
                first, *others = [to_pil(frame[i]) for frame in edited.frames]
                animation = self.folder / "animation" / f"{item.name}.gif"
                options = {"append_images": others, "duration": 100, "loop": 0}
                write_image(animation, first, save_all=True, **options)
            if edited.found is not None:
                for name in ("mask", "strength"):
                    shown = cells(getattr(edited.found, name)[i], x.shape[-2:])
                    write_image(self.folder / name / f"{item.name}.png", to_pil(shown))
        if evaluator is not None:
            batch = collate([self.inputs.held_out[item.name] for item in edited.items])
            self.rows.extend(evaluator(batch, edited.x, edited.seconds))

    def finish(self, settings: dict[str, Any], nfe: int) -> Evaluation | None:
        """Writes what is about the whole run; returns its numbers, where edits were measured.

        Args:
            settings: What was run, for result.json.
            nfe: Function evaluations of the teacher.
        """
        write_image(self.folder / "comparison.png", self._comparison())
        points = [asdict(point) for edited in self.done for point in edited.trajectory]
        columns = [field.name for field in fields(Point)]
        write_csv(self.folder / "trajectory.csv", columns, points)
        nonfinite = sum(edited.nonfinite for edited in self.done)
        n = len(self.inputs.items)
        seconds = sum(edited.seconds * len(edited.items) for edited in self.done)
        result: dict[str, Any] = {"n": n, "nonfinite": nonfinite, "evaluations": nfe}
        result |= {"seconds": seconds, "seconds_per_image": seconds / n}
        evaluation = Evaluation(tuple(self.rows), nonfinite) if self.rows else None
        if evaluation is not None:
            evaluation.write_csv(self.folder / "rows.csv")
            write_json(self.folder / "metrics.json", evaluation.metrics())
            result["metrics"] = evaluation.metrics()
        items = [self._numbers(edited, i) for edited in self.done for i in range(len(edited.x))]
        order = {item.name: i for i, item in enumerate(self.inputs.items)}
        items.sort(key=lambda numbers: order[numbers["name"]])
        write_json(self.folder / "result.json", {**result, "items": items, "config": settings})
        return evaluation

    def _numbers(self, edited: Edited, i: int) -> dict[str, Any]:
        item, x = edited.items[i], edited.x[i : i + 1]
        last = [point for point in edited.trajectory if point.name == item.name][-1]
        found = edited.found
        share = {} if found is None else {"mask_share": found.mask[i].mean().item()}
        return {
            "name": item.name,
            "file": self.inputs.files.get(item.name),
            "source": item.source,
            "target": item.target,
            "width": self.inputs.sizes[item.name][0],
            "height": self.inputs.sizes[item.name][1],
            "steps": last.step,
            "seconds": edited.seconds,
            "gradient_norm": last.gradient_norm,
            "distance": last.distance,
            "psnr_source": psnr(x, item.x[None]).item(),
            "sharpness": sharpness(x).item(),
            "sharpness_source": sharpness(item.x[None]).item(),
            **share,
        }

    def _comparison(self) -> Image.Image:
        edits, found = {}, {}
        for edited in self.done:
            for i, (item, x) in enumerate(zip(edited.items, edited.x, strict=True)):
                edits[item.name] = x
                if edited.found is not None:
                    found[item.name] = cells(edited.found.mask[i], x.shape[-2:])
        items = self.inputs.items[:SHOWN]
        columns = {
            "source": [item.x for item in items],
            "edit": [edits[item.name] for item in items],
            "difference": [difference(edits[item.name], item.x) for item in items],
        }
        masks = [found.get(item.name, item.mask) for item in items]
        if all(mask is not None for mask in masks):
            columns["mask"] = masks
        if self.inputs.held_out:
            columns["truth"] = [self.inputs.held_out[item.name]["truth"] for item in items]
        captions = [f"{item.source or '(no source prompt)'} -> {item.target}" for item in items]
        pictures = {name: [to_pil(x) for x in column] for name, column in columns.items()}
        return grid(pictures, captions, side=_side(items))


def _side(items: Sequence[EditItem]) -> int:
    """A cell of the comparison: twice to four times a small picture, a large one cut to 256."""
    return min(256, max(144, 2 * max(max(item.x.shape[-2:]) for item in items)))
