"""Students that may be asked, by the names that the page shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from i2i_dds import EditPipeline, Student, UserError
from i2i_dds.app.jobs import TEACHER
from i2i_dds.app.run_folder import find_students


class Students:
    """Those that trainings have saved, as they are now.

    Args:
        roots: Folders of trainings.
        pipe: With their teacher.
    """

    def __init__(self, roots: Sequence[Path], pipe: EditPipeline) -> None:
        self.roots, self.pipe = tuple(roots), pipe

    def names(self) -> list[str]:
        """The newest first."""
        return list(find_students(self.roots))

    def folder(self, name: str) -> Path:
        """Where one lies.

        Raises:
            UserError: There is none of this name.
        """
        found = find_students(self.roots)
        if name not in found:
            raise UserError("student: there is none of this name; choose another")
        return found[name]

    def load(self, name: str) -> Student:
        """The student, after the job that works now.

        Raises:
            UserError: There is none of this name, or it is of another teacher.
        """
        folder = self.folder(name)
        with TEACHER:
            return Student.from_pretrained(folder, self.pipe.teacher)
