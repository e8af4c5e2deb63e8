"""A run of edits on disk: batch by batch, on one process or many, and again where it stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i_dds.data.edits import collate
from i2i_dds.data.images import to_pil
from i2i_dds.distributed import gather, get_rank_and_world_size, on_rank_zero
from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.batches import (
    Edited,
    EditItem,
    batches_of,
    edit_items,
    edit_queue,
    stops_early,
)
from i2i_dds.editing.interface import Editor, EditStep
from i2i_dds.errors import UserError
from i2i_dds.evaluation.grid import cells
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.evaluation.summary import Evaluation
from i2i_dds.metrics.image import psnr, sharpness
from i2i_dds.pipelines.edit_inputs import EditInputs, EditRequest
from i2i_dds.pipelines.edit_summary import SHOWN, write_summary
from i2i_dds.pipelines.prepared import PictureItem
from i2i_dds.progress import Update
from i2i_dds.resumable import HALF_SETTINGS, SETTINGS, OnProgress, check_same, run_resumable
from i2i_dds.runs import run_folder, write_image, write_json
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.lanes import queue_length

OnSteps = Callable[[int, int], None]
"""Told how many steps of a batch are taken, and how many there are."""

PARTS = "parts"
"""Folder of what each batch left behind, from which the run's files are made."""


@dataclass(frozen=True)
class Batch:
    """Edits that are made together, whichever others are done: what is kept in a file of its own.

    Attributes:
        number: Of all the run's batches.
        requests: Of one shape.
    """

    number: int
    requests: tuple[EditRequest, ...]


@dataclass(frozen=True)
class EditRun:
    """What is edited and how, and the folder that it goes into.

    Attributes:
        folder: Of the run.
        inputs: All that is to be edited.
        editor: How.
        teacher: By whom.
        seed: Of the noise.
        batch_size: Edits a batch.
        automask: Finds masks where none is given.
        frames: Pictures of an animation.
        evaluator: Measures edits whose truth is known; None measures none.
        notify: Told what a person should know.
    """

    folder: Path
    inputs: EditInputs
    editor: Editor
    teacher: Teacher
    seed: int
    batch_size: int
    automask: AutoMask | None = None
    frames: int = 0
    evaluator: Evaluator | None = None
    notify: Callable[[str], None] = lambda note: None

    def run(self, settings: Mapping[str, Any], update: Update) -> Evaluation | None:
        """Does this process's share of what is left; the first then writes what is about all.

        Args:
            settings: What was run, for result.json.
            update: Told how far this process's share is.

        Returns:
            The numbers, on the first process, where edits were measured.
        """
        batches = self.batches()
        on_progress, on_steps = _steps_of(update)
        run_resumable(
            batches,
            finished=self._finished,
            do=lambda batch: self._do(batch, on_steps),
            called="batches",
            on_progress=on_progress,
            notify=self.notify,
        )
        if get_rank_and_world_size()[0] > 0:
            return None
        parts = [_read(self._part(batch)) for batch in batches]
        return write_summary(self.folder, self.folder / PARTS, self.inputs, parts, settings)

    def batches(self) -> list[Batch]:
        """The same however many processes there are, and whatever is done already."""
        requests, size = self.inputs.requests, self.batch_size
        size = queue_length(len(requests), size) if self._queues else size
        parts = batches_of(requests, size, lambda one: one.shape)
        return [Batch(number, requests) for number, requests in enumerate(parts)]

    @property
    def _queues(self) -> bool:
        """Whether edits that stop early make room; an animation shows a batch's steps."""
        return stops_early(self.editor) and self.frames == 0

    def _edit(self, items: list[EditItem], on_steps: OnSteps) -> Edited:
        editor, teacher, seed, automask = self.editor, self.teacher, self.seed, self.automask
        if self._queues:
            return edit_queue(editor, teacher, items, seed, self.batch_size, automask, on_steps)

        def on_step(step: EditStep) -> None:
            on_steps(step.step + 1, step.steps)

        (edited,) = edit_items(
            editor, teacher, items, seed, len(items), self.frames, on_step, automask
        )
        return edited

    def _part(self, batch: Batch) -> Path:
        return self.folder / PARTS / f"{batch.number:06}.json"

    def _finished(self, batch: Batch) -> bool:
        """Whether a batch of the same pictures and words was done, and its pictures are there."""
        path = self._part(batch)
        if not path.is_file():
            return False
        try:
            kept = _read(path)
            same = kept["content"] == [request.content for request in batch.requests]
            return same and all((self.folder / file).is_file() for file in kept["files"])
        except (ValueError, KeyError, TypeError):  # half of a file, of a disk that was full
            return False

    def _do(self, batch: Batch, on_steps: OnSteps) -> None:
        """One batch from its files to its files; what says that it is done is written last."""
        prepared, before = [request.read() for request in batch.requests], self.teacher.nfe
        edited = self._edit([one.item for one in prepared], on_steps)
        x = [one.composited(edited.x[i], self.editor) for i, one in enumerate(prepared)]
        content: dict[str, Any] = {"content": [request.content for request in batch.requests]}
        content |= {"nfe": self.teacher.nfe - before, "nonfinite": edited.nonfinite}
        content["items"] = [
            {**_numbers(one, edited, i, x[i]), "file": request.file}
            for i, (request, one) in enumerate(zip(batch.requests, prepared, strict=True))
        ]
        content["points"] = [asdict(point) for point in edited.trajectory]
        content["rows"] = self._rows(prepared, x, edited.seconds)
        content["files"] = self._write_pictures(prepared, edited, x)
        self._tell_of_empty_masks(edited)
        write_json(self._part(batch), content)

    def _rows(
        self, prepared: Sequence[PictureItem], x: Sequence[Tensor], seconds: float
    ) -> list[dict[str, Any]]:
        scenes = [one.scene for one in prepared if one.scene is not None]
        if self.evaluator is None or not scenes:
            return []
        rows = self.evaluator(collate(scenes), torch.stack([*x]), seconds)
        return [asdict(row) for row in rows]

    def _write_pictures(
        self, prepared: Sequence[PictureItem], edited: Edited, x: Sequence[Tensor]
    ) -> list[str]:
        """Writes all pictures of a batch; returns their names under the run's folder."""
        files = {}
        shown = {request.name for request in self.inputs.requests[:SHOWN]}
        for i, one in enumerate(prepared):
            name = one.item.name
            files[f"edited/{name}.png"] = one.image(edited.x[i], self.editor), {}
            if name in shown:
                files[f"{PARTS}/{name}.png"] = to_pil(x[i]), {}
            if edited.frames:
                first, *others = [to_pil(frame[i]) for frame in edited.frames]
                options = {"save_all": True, "append_images": others, "duration": 100, "loop": 0}
                files[f"animation/{name}.gif"] = first, options
            if edited.found is not None:
                for kind in ("mask", "strength"):
                    found = cells(getattr(edited.found, kind)[i], x[i].shape[-2:])
                    files[f"{kind}/{name}.png"] = to_pil(found), {}
        for file, (image, options) in files.items():
            write_image(self.folder / file, image, **options)
        return list(files)

    def _tell_of_empty_masks(self, edited: Edited) -> None:
        if edited.found is not None:
            for item, mask in zip(edited.items, edited.found.mask, strict=True):
                if not mask.any():
                    self.notify(f"mask: none was found for '{item.name}', which stays as it is")


@contextmanager
def edit_folder(path: Path, settings: Mapping[str, Any] | None) -> Iterator[Path]:
    """The folder that all processes write a run of edits into.

    Args:
        path: Of the run.
        settings: All that edits depend on, by dotted key: the folder is then written in place, and
            a run that was cut off goes on. None collects the files aside and renames them at last.

    Raises:
        UserError: The folder holds something else, or edits of other settings.
    """
    if settings is not None:
        on_rank_zero(lambda: _check_own(path, settings))
        yield path
        return
    first = get_rank_and_world_size()[0] == 0
    with run_folder(path) if first else nullcontext() as made:
        yield gather(made)[0]
        if made is not None:
            shutil.rmtree(made / PARTS)


def _check_own(path: Path, settings: Mapping[str, Any]) -> None:
    names = (one.name for one in path.iterdir()) if path.is_dir() else ()
    used = path.is_file() or any(not fnmatch(name, HALF_SETTINGS) for name in names)
    if used and not (path / SETTINGS).is_file():
        raise UserError(f"out: '{path}' holds files, and none of a run of edits; give a new folder")
    check_same(path, settings)


def _steps_of(update: Update) -> tuple[OnProgress, OnSteps]:
    """What follows batches, and their steps, on one bar."""
    done = total = 0

    def on_progress(batches: int, of: int) -> None:
        nonlocal done, total
        done, total = batches, of
        if done == total:
            update(max(1, done), max(1, total))

    def on_steps(taken: int, of: int) -> None:
        if get_rank_and_world_size()[0] == 0:
            update(done * of + taken, total * of)

    return on_progress, on_steps


def _numbers(one: PictureItem, edited: Edited, i: int, x: Tensor) -> dict[str, Any]:
    item, x = one.item, x[None]
    last = [point for point in edited.trajectory if point.name == item.name][-1]
    found = edited.found
    share = {} if found is None else {"mask_share": found.mask[i].mean().item()}
    return {
        "name": item.name,
        "file": None,
        "source": item.source,
        "target": item.target,
        "width": one.size[0],
        "height": one.size[1],
        "steps": last.step,
        "seconds": edited.seconds,
        "gradient_norm": last.gradient_norm,
        "distance": last.distance,
        "psnr_source": psnr(x, item.x[None]).item(),
        "sharpness": sharpness(x).item(),
        "sharpness_source": sharpness(item.x[None]).item(),
        **share,
    }


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
