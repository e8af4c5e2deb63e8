"""A method of the benchmark: an editor, what it may know, and the parameter that is swept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from time import perf_counter
from typing import Any

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
"""The parameter of a descent whose values are pictures on the way of one run."""

Scenes = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Output:
    """A batch edited with one value of the swept parameter.

    Attributes:
        value: The parameter's; NaN of a method that sweeps none.
        x: The edited pictures, (B, 3, H, W) in [-1, 1].
        seconds: For each picture.
        nfe: Function evaluations of the teacher's noise predictor for each picture.
        nonfinite: Entries of the batch's gradients or latents that were NaN or infinite.
    """

    value: float
    x: Tensor
    seconds: float
    nfe: float
    nonfinite: int = 0


@dataclass(frozen=True)
class Method:
    """One editor of the benchmark.

    Attributes:
        editor: None leaves the pictures as they are.
        parameter: The editor's setting that is swept. "iterations" are pictures on the way of one
            run (of an editor whose timesteps do not depend on how many there are), so that the
            smaller ones cost nothing more. None sweeps nothing.
        values: Of that parameter.
        default: The one that stands for the method in tables; None is the largest.
        masked: Whether it is told where the edit may show.
        automask: Finds that by itself.
        student: Edits instead of an editor.

    Raises:
        UserError: The editor has no such parameter, or no value is given, or not the default.
    """

    editor: Any = None
    parameter: str | None = None
    values: Sequence[float] = ()
    default: float | None = None
    masked: bool = False
    automask: AutoMask | None = None
    student: EditUNet | None = None

    def __post_init__(self) -> None:
        known = [field.name for field in fields(self.editor)] if self.editor else []
        if self.parameter not in (None, ITERATIONS, *known):
            raise UserError(
                f"parameter: {self.parameter!r} is no setting of this editor; "
                f"give {ITERATIONS} or one of {', '.join(known)}"
            )
        if self.parameter is not None and not self.values:
            raise UserError("values: none are given; give one or more of the parameter")
        if self.default is not None and self.default not in self.values:
            raise UserError(
                f"default: {self.default} is not allowed; give one of {list(self.values)}"
            )

    @property
    def default_value(self) -> float:
        """The value that stands for the method; NaN where none is swept."""
        if self.parameter is None:
            return float("nan")
        return max(self.values) if self.default is None else self.default

    def can(self, task: str) -> bool:
        """Whether it knows a task; a student knows those that it was trained on."""
        return self.student is None or task in self.student.tasks.names

    @torch.no_grad()
    def outputs(
        self, teacher: Teacher, scenes: Scenes, tasks: TaskSet | None, seed: int, full_sweep: bool
    ) -> Iterator[Output]:
        """A batch edited with each value.

        Args:
            teacher: The frozen noise predictor.
            scenes: Items of `data.edits.SceneEdits` of one size.
            tasks: Whose numbers the scenes have; only students ask.
            seed: Of the noise.
            full_sweep: All values, or the default alone (and those on its way).
        """
        if self.editor is None:
            yield self._pass(teacher, scenes, tasks)
        elif self.parameter == ITERATIONS:
            yield from self._iterations(teacher, scenes, seed, full_sweep)
        elif self.parameter is None:
            yield self._run(teacher, scenes, seed, self.editor, self.default_value)
        else:
            for value in self.values if full_sweep else [self.default_value]:
                editor = replace(self.editor, **{self.parameter: value})
                yield self._run(teacher, scenes, seed, editor, value)

    def _pass(self, teacher: Teacher, scenes: Scenes, tasks: TaskSet | None) -> Output:
        """The pictures untouched, or once through the student."""
        batch = collate(scenes)
        if self.student is None:
            return Output(float("nan"), batch["image"], 0.0, 0.0)
        self.student.to(teacher.device)  # type: ignore[arg-type]
        edit_with_student(self.student.eval(), teacher, batch, tasks).cpu()  # warm-up
        start = perf_counter()
        x = edit_with_student(self.student.eval(), teacher, batch, tasks).cpu()
        return Output(float("nan"), x, (perf_counter() - start) / len(scenes), 0.0)

    def _run(
        self, teacher: Teacher, scenes: Scenes, seed: int, editor: Any, value: float
    ) -> Output:
        before, items = teacher.nfe, self._items(scenes)
        (done,) = edit_items(editor, teacher, items, seed, len(items), automask=self.automask)
        nfe = (teacher.nfe - before) / len(items)
        return Output(value, done.x, done.seconds, nfe, done.nonfinite)

    def _iterations(
        self, teacher: Teacher, scenes: Scenes, seed: int, full_sweep: bool
    ) -> Iterator[Output]:
        """One run, its latents after some of the iterations decoded."""
        items, before = self._items(scenes), teacher.nfe
        end = int(max(self.values) if full_sweep else self.default_value)
        wanted = sorted(count for count in self.values if count <= end)
        reached: dict[float, tuple[Tensor, float, int, int]] = {}
        start, nonfinite = perf_counter(), 0

        def on_step(step: EditStep) -> None:
            nonlocal nonfinite
            nonfinite += int(step.nonfinite)
            now = step.z, perf_counter() - start, teacher.nfe - before, nonfinite
            # Of all that are still to come: should every item stop early, they are as it is now.
            reached.update({count: now for count in wanted if count > step.step})

        editor = replace(self.editor, steps=end)
        run = edit_items(
            editor, teacher, items, seed, len(items), on_step=on_step, automask=self.automask
        )
        list(run)
        n = len(items)
        for count, (z, seconds, nfe, replaced) in reached.items():
            begun = perf_counter()
            x = teacher.decode(z).cpu()
            seconds += perf_counter() - begun
            yield Output(count, x, seconds / n, nfe / n, replaced)

    def _items(self, scenes: Scenes) -> list[EditItem]:
        return [
            EditItem(
                name=scene["key"],
                key=scene["key"],
                x=scene["image"],
                source=scene["source"],
                target=scene["target"],
                mask=scene["mask"] if self.masked else None,
            )
            for scene in scenes
        ]
