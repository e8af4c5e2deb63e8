"""The model card of a trained student: README.md in its folder, as Hugging Face's hub shows it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from i2i_dds import __version__
from i2i_dds.evaluation.metric import METRICS, printed
from i2i_dds.evaluation.tables import markdown_of_cells
from i2i_dds.runs import replacing, write_text
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.families import POCKETS

CARD = "README.md"
PICTURES = "pictures.png"


def write_card(
    folder: Path,
    student: EditUNet,
    numbers: Mapping[str, Any],
    command: str,
    pictures: Path | None = None,
) -> None:
    """Writes the card beside a saved student.

    Args:
        folder: The student's.
        student: Its tasks and what it keeps of its teacher are told.
        numbers: What metrics.json holds.
        command: What trained it, without secrets.
        pictures: Held-out pictures and their edits, which are copied into the folder; None, or a
            file that is not there, leaves them out.
    """
    shown = pictures is not None and pictures.is_file()
    if pictures is not None and shown:
        with replacing(folder / PICTURES) as partial:
            shutil.copyfile(pictures, partial)
    parts = [
        f"---\n{_front(student).to_yaml()}\n---\n\n# {_title(student)}\n",
        "A network that edits pictures in one pass. It learned from the Delta Denoising Score of a "
        f"frozen text-to-image model, {_teacher(student)}, with i2i_dds {__version__}.\n",
        f"![Held-out pictures and their edits]({PICTURES})\n" if shown else "",
        "## What it does\n\n" + _tasks(student),
        "## Use\n\n" + _use(student),
        _measured(numbers),
        f"## Training\n\n```sh\n{command}\n```\n" + _chosen(numbers),
        "## Licence\n\n" + _licence(student),
    ]
    write_text(folder / CARD, "\n".join(part for part in parts if part))


def _front(student: EditUNet) -> ModelCardData:
    name = str((student.teacher or {}).get("name") or "")
    return ModelCardData(
        license="apache-2.0" if _of_a_pocket(student) else "other",
        library_name="i2i_dds",
        pipeline_tag="image-to-image",
        base_model=name if name.count("/") == 1 else None,
        tags=["image-to-image", "delta-denoising-score", "diffusion-distillation"],
    )


def _title(student: EditUNet) -> str:
    return "A student of " + ", ".join(student.tasks.names)


def _teacher(student: EditUNet) -> str:
    origin = student.teacher or {}
    name = origin.get("name") or origin.get("family")
    return f"`{name}`" if name else "whose name it does not keep"


def _of_a_pocket(student: EditUNet) -> bool:
    return str((student.teacher or {}).get("name")) in POCKETS


def _tasks(student: EditUNet) -> str:
    rows = [
        [task.name, ", ".join(f"{a} to {b}" for a, b in task.replace.items()), task.instruction]
        for task in student.tasks
    ]
    return markdown_of_cells(["task", "words", "instruction"], rows)


def _use(student: EditUNet) -> str:
    teacher = str((student.teacher or {}).get("name") or "the teacher it was trained with")
    return f"""\
```python
from i2i_dds import Student

student = Student.from_pretrained("this/folder", teacher="{teacher}")
out = student("picture.png", task="{student.tasks.names[0]}")
out.images[0].save("edited.png")
```
"""


def _measured(numbers: Mapping[str, Any]) -> str:
    """The held-out metrics, a column for each of several tasks; "" where none were measured."""
    if not numbers.get("n"):
        return ""
    tasks = numbers.get("tasks") or {}
    rows = [
        [METRICS[name].label, *(printed(name, one.get(name)) for one in (numbers, *tasks.values()))]
        for name in METRICS
        if numbers.get(name) is not None
    ]
    table = markdown_of_cells(["", "all" if tasks else "", *tasks], rows, align_right=True)
    split = "validation" if numbers.get("split") == "val" else numbers.get("split")
    return f"## Measured\n\nOn {numbers['n']} held-out pictures, {split} split.\n\n{table}"


def _chosen(numbers: Mapping[str, Any]) -> str:
    """Which validation the weights are of, where they are not the last ones; else ""."""
    best = numbers.get("best")
    if best is None:
        return ""
    name = best["monitor"].removeprefix("val/")
    return (
        f"\nThe weights are those of step {best['step']} of {numbers['steps']}, the best of all "
        f"validations by {METRICS[name].label if name in METRICS else name} "
        f"({printed(name, best['value'])}).\n"
    )


def _licence(student: EditUNet) -> str:
    if _of_a_pocket(student):
        return "Apache-2.0, as the teacher and its drawn pictures.\n"
    return (
        "That of the teacher and of the pictures it was trained on; see the teacher's own card "
        "before you share it.\n"
    )
