"""The editors of the benchmark, each with the setting that makes it change more or less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from i2i_dds.data.edits import collate
from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.batches import EditItem, edit_items
from i2i_dds.editing.interface import EditStep
from i2i_dds.errors import UserError
from i2i_dds.student.edit import edit_with_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher

ITERATIONS = "iterations"
Scenes = Sequence[Mapping[str, Any]]


class Cut(NamedTuple):
    """A batch edited with one strength.

    Attributes:
        strength: The setting's value; NaN of an arm that has none.
        x: The edited pictures, (B, 3, H, W) in [-1, 1].
        seconds: For each picture.
        evaluations: Rows of the teacher's noise predictor for each picture.
        nonfinite: Entries of the batch's gradients or latents that were NaN or infinite.
    """

    strength: float
    x: Tensor
    seconds: float
    evaluations: float
    nonfinite: int = 0


@dataclass(frozen=True)
class Arm:
    """One editor of the benchmark.

    Attributes:
        editor: How; None leaves the pictures as they are.
        strength: The editor's setting that is varied; "iterations" are pictures on the way of one
            run (of an editor whose timesteps do not depend on how many there are), so that the
            smaller ones cost nothing more; None varies nothing.
        values: Of that setting.
        main: The one that stands for the editor in tables; None is the largest.
        masked: Whether it is told where the edit may show.
        automask: Finds that by itself.
        student: Edits instead of an editor.

    Raises:
        UserError: Naming the key of the config.
    """

    editor: Any = None
    strength: str | None = None
    values: Sequence[float] = ()
    main: float | None = None
    masked: bool = False
    automask: AutoMask | None = None
    student: EditUNet | None = None

    def __post_init__(self) -> None:
        known = [field.name for field in fields(self.editor)] if self.editor else []
        if self.strength not in (None, ITERATIONS, *known):
            raise UserError(
                f"strength: {self.strength!r} is no setting of this editor; give {ITERATIONS} or "
                f"one of {', '.join(known)}"
            )
        if self.strength is not None and not self.values:
            raise UserError("values: none are given; give one or more of the strength")
        if self.main is not None and self.main not in self.values:
            raise UserError(f"main: {self.main} is not allowed; give one of {list(self.values)}")

    @property
    def main_value(self) -> float:
        """The strength that stands for the editor."""
        if self.strength is None:
            return float("nan")
        return max(self.values) if self.main is None else self.main

    def can(self, task: str) -> bool:
        """Whether it knows a task; a student knows those that it was trained on."""
        return self.student is None or task in self.student.tasks.names

    @torch.no_grad()
    def cuts(
        self, teacher: Teacher, scenes: Scenes, tasks: TaskSet | None, seed: int, every: bool
    ) -> Iterator[Cut]:
        """A batch edited with each strength.

        Args:
            teacher: By whom.
            scenes: Items of `data.edits.SceneEdits` of one size.
            tasks: Whose numbers the scenes have; only students ask.
            seed: Of the noise.
            every: All strengths, or the main one alone (and those on its way).
        """
        if self.editor is None:
            yield self._pass(teacher, scenes, tasks)
        elif self.strength == ITERATIONS:
            yield from self._iterations(teacher, scenes, seed, every)
        elif self.strength is None:
            yield self._run(teacher, scenes, seed, self.editor, self.main_value)
        else:
            for value in self.values if every else [self.main_value]:
                editor = replace(self.editor, **{self.strength: value})
                yield self._run(teacher, scenes, seed, editor, value)

    def _pass(self, teacher: Teacher, scenes: Scenes, tasks: TaskSet | None) -> Cut:
        """The pictures untouched, or once through the student."""
        batch = collate(scenes)
        if self.student is None:
            return Cut(float("nan"), batch["image"], 0.0, 0.0)
        self.student.to(teacher.device)  # type: ignore[arg-type]
        edit_with_student(self.student.eval(), teacher, batch, tasks).cpu()  # warm-up
        start = perf_counter()
        x = edit_with_student(self.student.eval(), teacher, batch, tasks).cpu()
        return Cut(float("nan"), x, (perf_counter() - start) / len(scenes), 0.0)

    def _run(self, teacher: Teacher, scenes: Scenes, seed: int, editor: Any, value: float) -> Cut:
        before, items = teacher.evaluations, self._items(scenes)
        settled = teacher, items, seed, len(items)
        (done,) = edit_items(editor, *settled, automask=self.automask)
        used = (teacher.evaluations - before) / len(items)
        return Cut(value, done.x, done.seconds, used, done.nonfinite)

    def _iterations(
        self, teacher: Teacher, scenes: Scenes, seed: int, every: bool
    ) -> Iterator[Cut]:
        """One run, its latents after some of the iterations decoded."""
        items, asked = self._items(scenes), teacher.evaluations
        end = int(max(self.values) if every else self.main_value)
        wanted = sorted(count for count in self.values if count <= end)
        reached: dict[float, tuple[Tensor, float, int, int]] = {}
        start, bad = perf_counter(), 0

        def on_step(step: EditStep) -> None:
            nonlocal bad
            bad += step.nonfinite
            now = step.z, perf_counter() - start, teacher.evaluations - asked, bad
            # Of all that are still to come: should every item stop early, they are as it is now.
            reached.update({count: now for count in wanted if count > step.step})

        editor = replace(self.editor, steps=end)
        settled = teacher, items, seed, len(items)
        list(edit_items(editor, *settled, on_step=on_step, automask=self.automask))
        n = len(items)
        for count, (z, seconds, evaluations, nonfinite) in reached.items():
            begun = perf_counter()
            x = teacher.decode(z).cpu()
            seconds += perf_counter() - begun
            yield Cut(count, x, seconds / n, evaluations / n, nonfinite)

    def _items(self, scenes: Scenes) -> list[EditItem]:
        return [
            EditItem(
                *(scene["key"], scene["key"], scene["image"], scene["source"], scene["target"]),
                mask=scene["mask"] if self.masked else None,
            )
            for scene in scenes
        ]
