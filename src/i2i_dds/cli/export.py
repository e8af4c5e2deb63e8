"""``i2i export ckpt=...``: a student for other programs, as graphs or as a diffusers folder."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.checks import choice, several, text
from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check, listed
from i2i_dds.cli.keys import build
from i2i_dds.cli.numbers import show_numbers
from i2i_dds.progress import progress_bar

_DIFFUSERS = "diffusers"
"""The format that is a folder for diffusers; the others are graphs."""


@entry_point("export", text=["ckpt"])
def main(cfg: DictConfig) -> Path:
    """Writes the run folder and returns it."""
    check(cfg, {"ckpt": text(), "formats": several(choice("pt2", "onnx", _DIFFUSERS))})
    from i2i_dds.runs import run_folder, write_json
    from i2i_dds.student.export import export_student
    from i2i_dds.student.load import check_fits, load_student

    student, formats = load_student(cfg.ckpt, "ckpt"), listed(cfg.formats)
    teacher = build(cfg, "teacher")
    check_fits(student, teacher, "ckpt")
    graphs = [name for name in formats if name != _DIFFUSERS]
    files = 3 * len(graphs) + (_DIFFUSERS in formats)
    with run_folder(run_dir()) as folder, progress_bar("Exporting") as update:
        update(0, files)
        done: list[str] = []

        def tell(name: str) -> None:
            done.append(name)
            update(len(done), files)

        found = export_student(student, teacher, folder, graphs, tell) if graphs else {}
        if _DIFFUSERS in formats:
            from i2i_dds.pipelines.student import Student
            from i2i_dds.pipelines.student_pipeline import StudentPipeline

            pipeline = StudentPipeline.from_student(Student(student, teacher))
            pipeline.save_pretrained(folder / _DIFFUSERS)
            tell(_DIFFUSERS)
        write_json(folder / "config.json", resolved(cfg))
    show_numbers({f"{name}, largest difference": max(d.values()) for name, d in found.items()})
    return run_dir()


if __name__ == "__main__":
    main()
