"""The commands, listed once: ``i2i``, the console commands and ``scripts/`` follow this table.

Nothing heavy is imported here, so that ``i2i --help`` answers at once.
"""

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: What is typed after ``i2i``, or behind the dash of ``i2i-<name>``.
        module: The module of ``i2i_dds.cli`` whose ``main`` it runs.
        summary: One line that says what it does.
        research: Whether it is for the studies rather than for editing and training.
        console: Whether it is installed; one that is not serves the repository.
    """

    name: str
    module: str
    summary: str
    research: bool = False
    console: bool = True

    @property
    def target(self) -> str:
        """The full name of its module."""
        return f"i2i_dds.cli.{self.module}"


COMMANDS = (
    Command("edit", "edit", "edit pictures, or drawn scenes whose answer is known"),
    Command("train", "train", "train a student on one task or several"),
    Command("evaluate", "evaluate", "measure a student on held-out pictures"),
    Command("export", "export", "write a student as graphs for other programs"),
    Command("plan", "plan", "say whether a training fits in a GPU's memory"),
    Command("drag", "drag", "drag handles in a picture to their targets"),
    Command("lora", "lora", "teach the teacher one picture and its prompt"),
    Command("make-shards", "make_shards", "put pictures with captions into webdataset shards"),
    Command("pretrain", "pretrain", "train the pocket models, or report on them"),
    Command("app", "page", "serve a page for a browser that does these things"),
    Command("doctor", "doctor", "say what is installed, and what killed runs have left"),
    Command("benchmark", "benchmark", "measure every editor on every kind of edit", research=True),
    Command("drag-bench", "drag_bench", "drag every item of a benchmark", research=True),
    Command("study", "study", "put a claim of the papers to the test", research=True),
    Command("bench", "bench", "time edits against plain loops", research=True),
    Command("theory", "theory", "show that an ODE keeps an error an SDE forgets", research=True),
    Command("contact-sheet", "contact_sheet", "draw the species of Critters", console=False),
    Command("make-random-sd", "make_random_sd", "write a teacher of random weights", console=False),
    Command("results", "results", "fill the documents' tables", console=False),
)


RENAMED = {"analyse": "study", "sde-study": "study"}
"""Commands that are gone -> what to type instead."""


def program() -> str:
    """How the command was typed, such as "python scripts/edit.py", "i2i-edit" or "i2i edit"."""
    typed, module = Path(sys.argv[0]), getattr(sys.modules["__main__"], "__spec__", None)
    if module is not None and module.origin == sys.argv[0]:
        return f"python -m {module.name.removesuffix('.__main__')}"
    return f"python {sys.argv[0]}" if typed.suffix == ".py" else typed.name
