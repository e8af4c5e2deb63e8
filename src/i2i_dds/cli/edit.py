"""``python scripts/edit.py``: edits of pictures, or measured on Critters scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import choice, flag, integer, optional, several, text
from i2i_dds.cli.app import MOVED_SCORES, entry_point, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.keys import build
from i2i_dds.progress import notify, progress_bar

if TYPE_CHECKING:
    from i2i_dds.editing.batches import Edited
    from i2i_dds.evaluation.summary import Evaluation

FRAMES = 24
"""Pictures of an animation, beside the source."""

_RULES = {
    "source": optional(choice("image", "critters")),
    "image": optional(several(text())),
    "prompt.source": several(text(empty=True)),
    "prompt.target": optional(several(text())),
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


@entry_point("edit", text=["prompt.source", "prompt.target"], moved=MOVED_SCORES)
def main(cfg: DictConfig) -> Path:
    """Edits, writes the run folder and returns it."""
    check(cfg, _RULES | (_T_MAX if "t_max" in cfg else {}))
    from i2i_dds.cli import edit_inputs as inputs_of
    from i2i_dds.editing.batches import edit_items
    from i2i_dds.evaluation.measure import Evaluator, load_judge
    from i2i_dds.pipelines.edit import follow_steps
    from i2i_dds.pipelines.edit_run import EditRun
    from i2i_dds.runs import run_folder
    from i2i_dds.tasks import TaskSet

    editor, automask = build(cfg, "editor"), build(cfg, "automask")
    source = cfg.source or ("critters" if cfg.image is None else "image")
    settings = resolved(cfg)
    tasks = evaluator = None
    if source == "image":
        inputs_of.check_picture_inputs(cfg)
    else:
        inputs_of.check_scene_inputs(cfg)
        tasks = TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))
    teacher = build(cfg, "teacher")
    if tasks is None:
        inputs = inputs_of.picture_inputs(cfg, teacher)
    else:
        inputs = inputs_of.scene_inputs(cfg, tasks, teacher)
        evaluator = Evaluator(tasks, teacher, load_judge(cfg.judge))

    with run_folder(run_dir()) as folder:
        run = EditRun(folder, inputs)
        n = len(inputs.items)
        with progress_bar(f"Editing {n}") as update:
            batches = edit_items(
                editor,
                teacher,
                inputs.items,
                cfg.seed,
                cfg.batch_size,
                frames=FRAMES if cfg.animation else 0,
                on_step=follow_steps(update, n),
                automask=automask if cfg.mask == inputs_of.AUTO_MASK else None,
            )
            for edited in batches:
                run.add(edited, evaluator)
                _tell_of_empty_masks(edited)
            update(n, n)  # where all stopped early, too
        evaluation = run.finish(settings, teacher.nfe)
    if evaluation is not None:
        _report(evaluation)
    return run_dir()


def _tell_of_empty_masks(edited: Edited) -> None:
    if edited.found is not None:
        for item, mask in zip(edited.items, edited.found.mask, strict=True):
            if not mask.any():
                notify(f"mask: none was found for '{item.name}', which stays as it is")


def _report(evaluation: Evaluation) -> None:
    """The numbers, for a person, on standard error."""
    from rich.console import Console

    from i2i_dds.evaluation.metric import printed

    shown = {name: value for name, value in evaluation.metrics().items() if name != "tasks"}
    for name, value in shown.items():
        Console(stderr=True).print(f"{name:26}", printed(name, value))


if __name__ == "__main__":
    main()
