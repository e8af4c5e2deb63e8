"""Editing with a trained student, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from i2i_dds.checks import as_list, choice, require
from i2i_dds.data.edits import SceneEdits, ShardEdits
from i2i_dds.data.sources import Split, scene_size
from i2i_dds.editing.batches import edit_items
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.editing.student import StudentEditor
from i2i_dds.errors import UserError
from i2i_dds.evaluation.measure import Evaluator, load_judge
from i2i_dds.evaluation.photographs import Photographs
from i2i_dds.evaluation.students import StudentResult, measure_student
from i2i_dds.metrics.judge import Judge
from i2i_dds.pipelines.calls import bar, check_call, collect, prepare_all
from i2i_dds.pipelines.editors import STUDENT, build_editor
from i2i_dds.pipelines.output import EditOutput
from i2i_dds.pipelines.pictures import Picture, Size
from i2i_dds.pipelines.prepared import Words
from i2i_dds.progress import progress_bar
from i2i_dds.student.build import new_student, student_shapes
from i2i_dds.student.load import check_fits, load_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.load import load_teacher


class Student:
    """A trained image-to-image network, with the autoencoder of its teacher.

    ::

        student = Student.from_pretrained("outputs/train/<run>")
        student("cat.png", task="cat2lion").images[0].save("lion.png")

    Args:
        network: The student.
        teacher: Whose latents it edits.

    Raises:
        UserError: The student belongs to another kind of teacher.
    """

    def __init__(self, network: EditUNet, teacher: Teacher) -> None:
        check_fits(network, teacher, "teacher")
        self.network, self.teacher = network, teacher
        self.editor = StudentEditor(network)
        network.to(teacher.device)  # type: ignore[arg-type]

    @classmethod
    def from_pretrained(
        cls, path: str | Path, teacher: str | Teacher = "pocket", **options: Any
    ) -> Student:
        """A student from a run folder of ``train.py``, its ``student`` folder, or a checkpoint.

        Args:
            path: Where it is.
            teacher: The one it was trained with, or its path.
            **options: Of the teacher's loading, see :func:`load_teacher`.

        Raises:
            UserError: Nothing usable is there.
        """
        network = load_student(path, "path")
        if options and not isinstance(teacher, str):
            raise UserError(f"{next(iter(options))}: goes with a teacher's path; give that")
        if isinstance(teacher, str):
            teacher = load_teacher(teacher, **options)
        return cls(network, teacher)

    @classmethod
    def new(
        cls,
        teacher: Teacher,
        tasks: Task | TaskSet,
        shape: str = "small",
        conditioning: str = "task",
        seed: int = 0,
    ) -> Student:
        """An untrained student, which gives back what it gets; train ``network`` with it.

        See :class:`i2i_dds.training.module.EditTraining`.

        Args:
            teacher: Whose latents it edits.
            tasks: What it shall learn.
            shape: "small" or "base", see ``conf/student``.
            conditioning: "task", a learned token each; "text", the embedding of the instruction.
            seed: Of the weights.

        Raises:
            UserError: No such shape or conditioning.
        """
        shapes = student_shapes()
        require("shape", shape, choice(*shapes))
        task_set = TaskSet([tasks]) if isinstance(tasks, Task) else tasks
        return cls(new_student(teacher, task_set, shapes[shape], conditioning, seed=seed), teacher)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the network with its tasks, all that :meth:`from_pretrained` needs."""
        self.network.save_pretrained(folder)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks it knows."""
        return self.network.tasks.names

    def __call__(
        self,
        images: Picture | Sequence[Picture],
        task: str | Sequence[str] | None = None,
        *,
        target: str | Sequence[str] | None = None,
        mask: Picture | Sequence[Picture] | None = None,
        size: Size = None,
        fit: str = "auto",
        batch_size: int = 8,
        progress: bool = False,
    ) -> EditOutput:
        """Edits every picture.

        Args:
            images: One picture or a list, see :data:`i2i_dds.pipelines.pictures.Picture`.
            task: Which of :attr:`tasks`; a list does each of them to every picture. May be left out
                where it knows one only.
            target: Instead of a task, an order in words, or a list; for a student that was trained
                to read text.
            mask: Where to edit (white), one for all or one for each. Edits are laid over their
                sources, linearly where the mask is soft; where it is black the source stays, to
                the bit. One that is all black holds nothing back, and that is logged.
            size: At which pictures are edited; None is their own, or the nearest the VAE allows.
            fit: As in :meth:`EditPipeline.__call__`.
            batch_size: Pictures a network call.
            progress: Shows a bar on standard error.

        Raises:
            UserError: An argument is not allowed; the message names it.
        """
        check_call(size, fit, batch_size)
        told = self.editor.instructions(
            None if task is None else as_list(task), None if target is None else as_list(target)
        )
        # A trainer leaves it elsewhere.
        self.network.to(self.teacher.device)  # type: ignore[arg-type]
        self.network.eval()
        edits = [[Words(target=words, instruction=words) for words in told]]
        prepared = prepare_all(images, edits, mask, self.teacher.vae_scale_factor, size, fit)
        items = [one.item for one in prepared]
        with bar(progress, len(items)) as on_step:
            done = list(
                edit_items(self.editor, self.teacher, items, 0, batch_size, on_step=on_step)
            )
        settings = {
            "editor": STUDENT,
            "task": told[0] if len(told) == 1 else told,
            "size": size,
            "fit": fit,
        }
        settings["mask"] = None if mask is None else "given"
        return collect(prepared, done, self.editor, settings)

    def evaluate(
        self,
        dataset: SceneEdits | ShardEdits | None = None,
        *,
        n: int = 256,
        split: Split = "test",
        seed: int = 0,
        judge: str | Path | Judge | None = "pocket",
        batch_size: int = 32,
        tasks: TaskSet | None = None,
        zero_shot: LatentOptimization | None = None,
        photographs: Photographs | None = None,
        progress: bool = False,
    ) -> StudentResult:
        """Measures the student on held-out pictures, as ``evaluate`` and ``train`` do.

        Args:
            dataset: The pictures; None draws Critters scenes.
            n: Scenes for each task, where no dataset is given.
            split: "val" or "test", likewise.
            seed: Of the scenes, likewise.
            judge: Says if an edit succeeded: "pocket", a folder, a judge, or None for nobody.
            batch_size: Rows of a forward pass.
            tasks: Those of the dataset; None is the student's own.
            zero_shot: What its speed is compared with; None is the teacher's preset.
            photographs: Measures pictures without a ground truth; None is the plain one.
            progress: Shows a bar on standard error.

        Returns:
            ``evaluation`` with a row a picture, and ``numbers``, what metrics.json holds. On
            several processes each measures its share, and all have the result.
        """
        task_set = self.network.tasks if tasks is None else tasks
        if dataset is None:
            dataset = SceneEdits(task_set, split, n, seed, scene_size(None, self.teacher))
        if not isinstance(judge, Judge):
            judge = load_judge(judge)
        if zero_shot is None:
            zero_shot = cast(LatentOptimization, build_editor("zero_shot", self.teacher.presets)[0])
        photographs = photographs or Photographs()
        evaluator = Evaluator(task_set, self.teacher, judge, photographs=photographs)
        with progress_bar("Measuring") if progress else nullcontext() as update:
            return measure_student(self.network, evaluator, dataset, batch_size, zero_shot, update)
