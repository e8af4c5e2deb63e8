"""``python scripts/edit.py``: edits of pictures, or measured on Critters scenes."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from i2i_dds.checks import called, choice, flag, integer, optional, several, text
from i2i_dds.cli.app import (
    MOVED_SCORES,
    Incomplete,
    entry_point,
    resolved,
    run_dir,
    settings_of,
)
from i2i_dds.cli.checks import check, listed
from i2i_dds.cli.compiling import COMPILE_AUTO, compile_teacher
from i2i_dds.cli.keys import build
from i2i_dds.cli.numbers import show_numbers
from i2i_dds.errors import UserError
from i2i_dds.progress import notify, progress_bar

if TYPE_CHECKING:
    from i2i_dds.editing.automask import AutoMask
    from i2i_dds.evaluation.measure import Evaluator
    from i2i_dds.evaluation.summary import Evaluation
    from i2i_dds.pipelines.edit_inputs import EditInputs
    from i2i_dds.pipelines.edit_run import EditRun

FRAMES = 24
"""Pictures of an animation, beside the source."""

_RULES = {
    "source": optional(choice("image", "critters")),
    "image": optional(several(text())),
    "prompt.source": several(text(empty=True)),
    "prompt.target": optional(several(text())),
    "prompt.negative": several(text(empty=True)),
    "student": optional(text()),
    "out": optional(text()),
    "mask": optional(several(text())),
    "size": optional(several(integer(min=1))),
    "fit": choice("auto", "resize", "crop", "error"),
    "n": integer(min=1),
    "split": choice("train", "val", "test"),
    "judge": optional(text()),
    "seed": integer(min=0),
    "batch_size": integer(min=1),
    "animation": flag(),
}

_T_MAX = {"t_max": integer(min=1, max=1000)}
"""Of editors that have timesteps, which do not know how many the teacher has."""

_TYPED = {"student": "student_path"}
"""As typed -> the config's key: ``student`` is also a group of ``conf/``."""

_FREE = ("out", "paths", "threads")
"""Settings that may differ when a run goes on."""


@entry_point(
    "edit",
    text=["prompt.source", "prompt.target", "prompt.negative", "student"],
    typed=_TYPED,
    moved=MOVED_SCORES,
    shares=True,
)
def main(cfg: DictConfig) -> Path | Incomplete:
    """Edits this process's share; the first process writes what is about the whole run."""
    check(cfg, _RULES | COMPILE_AUTO | (_T_MAX if "t_max" in cfg else {}), typed=_TYPED)
    from i2i_dds.distributed import process_group

    editor = _editor(cfg)
    automask = None if cfg.automask is None else build(cfg, "automask")
    with process_group() as (rank, _):
        run, evaluation = _run(cfg, editor, automask)
    if evaluation is not None:
        show_numbers(evaluation.metrics())
    broken = run.inputs.unreadable
    if rank == 0:
        for reason in broken.values():
            notify(reason)
        if broken:
            notify(f"image: {len(broken)} files could not be read; all others are edited")
    return Incomplete(run_dir()) if broken else run_dir()


def _run(
    cfg: DictConfig, editor: Any, automask: AutoMask | None
) -> tuple[EditRun, Evaluation | None]:
    """Everything from the inputs to the run's files."""
    from i2i_dds.cli import edit_inputs as inputs_of
    from i2i_dds.pipelines.edit_run import EditRun, edit_folder

    teacher, inputs, evaluator = _inputs(cfg, editor)
    batches = ceil(len(inputs.requests) / cfg.batch_size)
    compile_teacher(cfg, teacher, batches * getattr(editor, "steps", 0))
    with edit_folder(run_dir(), _identity(cfg, editor, teacher)) as folder:
        run = EditRun(
            folder=folder,
            inputs=inputs,
            editor=editor,
            teacher=teacher,
            seed=cfg.seed,
            batch_size=cfg.batch_size,
            automask=automask if cfg.mask == inputs_of.AUTO_MASK else None,
            frames=FRAMES if cfg.animation else 0,
            evaluator=evaluator,
            notify=notify,
        )
        with progress_bar(f"Editing {len(inputs.requests)}") as update:
            return run, run.run(resolved(cfg), update)


def _editor(cfg: DictConfig) -> Any:
    """The editor, and before it is built, what its name does not go with."""
    from i2i_dds.pipelines.editors import EDITORS, STUDENT, check_guides, general

    name = str(HydraConfig.get().runtime.choices["editor"])
    if name != STUDENT and cfg.student_path is not None:
        raise UserError(f"student: {cfg.student_path!r} goes with editor=student; leave it out")
    if name == STUDENT and cfg.student_path is None:
        raise UserError("student: none is given; give student=<run folder of train.py>")
    for key, value in EDITORS[name][1].items() if name in EDITORS else ():
        if cfg[key] != value:
            raise UserError(
                f"{key}: {cfg[key]!r} is not what editor={name} is; "
                f"leave it out, or give editor={general(name)}"
            )
    with called({"student_path": "student"}):
        editor = build(cfg, "editor")
    if name != STUDENT:
        check_guides(editor, listed(cfg.prompt.negative), "prompt.negative")
    return editor


def _inputs(cfg: DictConfig, editor: Any) -> tuple[Any, EditInputs, Evaluator | None]:
    """The teacher, what is to be edited and, of scenes, what measures it."""
    from i2i_dds.cli import edit_inputs as inputs_of
    from i2i_dds.editing.student import StudentEditor
    from i2i_dds.evaluation.measure import Evaluator, load_judge
    from i2i_dds.student.load import check_fits, check_knows

    source = cfg.source or ("critters" if cfg.image is None else "image")
    student = editor if isinstance(editor, StudentEditor) else None
    edits = tasks = None
    if student is not None:
        inputs_of.check_student_inputs(cfg)
    if source == "image":
        inputs_of.check_picture_inputs(cfg, student is not None)
        edits = inputs_of.wanted(cfg, student)
    else:
        inputs_of.check_scene_inputs(cfg)
        tasks = inputs_of.tasks_of(cfg)
        if student is not None:
            tasks = student.network.tasks if tasks is None else tasks
            check_knows(student.network, tasks, "task")
    teacher = build(cfg, "teacher")
    if student is not None:
        check_fits(student.network, teacher, "student")
        student.network.to(teacher.device)
    if edits is not None:
        return teacher, inputs_of.picture_inputs(cfg, teacher, edits), None
    assert tasks is not None
    evaluator = Evaluator(tasks, teacher, load_judge(cfg.judge))
    return teacher, inputs_of.scene_inputs(cfg, tasks, teacher, student), evaluator


def _identity(cfg: DictConfig, editor: Any, teacher: Any) -> dict[str, Any] | None:
    """All that edits depend on but the pictures; None without ``out``, where no run goes on."""
    from i2i_dds.editing.student import StudentEditor
    from i2i_dds.teacher.fingerprint import fingerprint

    if cfg.out is None:
        return None
    others = [editor.network] if isinstance(editor, StudentEditor) else []
    return settings_of(cfg, _FREE) | {"teacher.weights": fingerprint(teacher, others).hex()}


if __name__ == "__main__":
    main()
