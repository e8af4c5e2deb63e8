"""An edit by a trained student, and the lines that ask for the same elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i_dds import EditPipeline, Student
from i2i_dds.app.requests import TeacherName, call_lines, command_line, in_short, literal


@dataclass(frozen=True)
class StudentRequest:
    """One edit as the page asks a student for it.

    Attributes:
        image: The picture's file.
        student: Its folder.
        task: One of its tasks; None has it read ``target``.
        source: What the picture shows, which a student does not read.
        target: What it shall show, in words; read where there is no task.
        mask: A file (white may change), or None.
        size: (width, height) at which it is edited; None is the picture's own.
    """

    image: Path
    student: Path
    task: str | None = None
    source: str = ""
    target: str = ""
    mask: str | Path | None = None
    size: tuple[int, int] | None = None

    @property
    def title(self) -> str:
        """A line for people."""
        return f"{in_short(self.task or self.target)} · student"

    def arguments(self) -> dict[str, Any]:
        """What the student is called with beside the picture."""
        given: dict[str, Any] = {"task": self.task} if self.task else {"target": self.target}
        if self.mask is not None:
            given["mask"] = str(self.mask)
        return given if self.size is None else {**given, "size": self.size}

    def run(self, pipe: EditPipeline, callback: Callable[[Any], None] | None = None) -> Any:
        """Edits in one pass, of which there are no steps to tell of.

        Raises:
            UserError: It is no student, or one of another teacher.
        """
        student = Student.from_pretrained(self.student, pipe.teacher)
        return student(str(self.image), **self.arguments())

    def python(self, teacher: TeacherName) -> str:
        """The lines of Python that give the same picture."""
        made = f"Student.from_pretrained({literal(str(self.student))}, {literal(teacher.path)})"
        return call_lines("Student", made, [str(self.image)], self.arguments())

    def command(self, teacher: TeacherName) -> str:
        """The command line that gives the same picture."""
        keys = {
            "image": self.image,
            "editor": "student",
            "student": self.student,
            "task": self.task,
            "prompt.target": None if self.task else self.target,
            "mask": self.mask,
            "size": self.size,
        }
        return command_line("edit", teacher, keys)


def tasks_of(student: Student) -> list[tuple[str, str]]:
    """What it can be told: label and value; the empty value has it read the target's words."""
    tasks = [(name, name) for name in student.tasks]
    reads = student.network.conditioning == "text"
    return [*tasks, ("what it shall show, in words", "")] if reads else tasks
