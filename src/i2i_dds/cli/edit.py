"""``python scripts/edit.py``: edits of pictures, or measured on Critters scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import choice, flag, integer, optional, several, text
from i2i_dds.cli.app import MOVED_SCORES, entry_point, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.keys import build
from i2i_dds.progress import notify, progress_bar

if TYPE_CHECKING:
    from i2i_dds.cli.edit_inputs import Inputs
    from i2i_dds.editing.batches import Edited
    from i2i_dds.editing.interface import EditStep
    from i2i_dds.evaluation.summary import Evaluation

SHOWN = 16
"""Items in comparison.png."""

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
    from i2i_dds.cli import edit_inputs as inputs_of
    from i2i_dds.editing.batches import edit_items
    from i2i_dds.evaluation.measure import Evaluator, load_judge
    from i2i_dds.runs import run_folder
    from i2i_dds.tasks import TaskSet

    check(cfg, _RULES | (_T_MAX if "t_max" in cfg else {}))
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
        run = _Run(folder, inputs, [], [])
        frames = FRAMES if cfg.animation else 0
        n, finished = len(inputs.items), 0
        with progress_bar(f"Editing {n}") as update:

            def on_step(step: EditStep) -> None:
                taken = finished * step.steps + len(step.z) * (step.step + 1)
                update(taken, n * step.steps)

            batches = edit_items(
                editor,
                teacher,
                inputs.items,
                cfg.seed,
                cfg.batch_size,
                frames=frames,
                on_step=on_step,
                automask=automask if cfg.mask == inputs_of.AUTO_MASK else None,
            )
            for edited in batches:
                run.add(edited, evaluator)
                _tell_of_empty_masks(edited)
                finished += len(edited.items)
            update(n, n)  # where all stopped early, too
        run.finish(settings, teacher.nfe)
    return run_dir()


def _tell_of_empty_masks(edited: Edited) -> None:
    if edited.found is not None:
        for item, mask in zip(edited.items, edited.found.mask, strict=True):
            if not mask.any():
                notify(f"mask: none was found for '{item.name}', which stays as it is")


@dataclass(frozen=True)
class _Run:
    """What has been edited so far, and the folder it goes into."""

    folder: Path
    inputs: Inputs
    done: list[Edited]
    rows: list[Any]

    def add(self, edited: Edited, evaluator: Any) -> None:
        """Writes the pictures of a batch and measures them."""
        from i2i_dds.data.edits import collate
        from i2i_dds.data.images import to_pil
        from i2i_dds.evaluation.grid import cells
        from i2i_dds.pipelines.pictures import restore
        from i2i_dds.runs import write_image

        self.done.append(edited)
        for i, (item, x) in enumerate(zip(edited.items, edited.x, strict=True)):
            image = restore(x, self.inputs.sizes[item.name])
            write_image(self.folder / "edited" / f"{item.name}.png", image)
            if edited.frames:
                first, *others = [to_pil(frame[i]) for frame in edited.frames]
                animation = self.folder / "animation" / f"{item.name}.gif"
                options = {"append_images": others, "duration": 100, "loop": 0}
                write_image(animation, first, save_all=True, **options)
            if edited.found is not None:
                for name in ("mask", "strength"):
                    shown = cells(getattr(edited.found, name)[i], x.shape[-2:])
                    write_image(self.folder / name / f"{item.name}.png", to_pil(shown))
        if evaluator is not None:
            batch = collate([self.inputs.held_out[item.name] for item in edited.items])
            self.rows.extend(evaluator(batch, edited.x, edited.seconds))

    def finish(self, settings: dict[str, Any], nfe: int) -> None:
        """Writes what is about the whole run."""
        from i2i_dds.editing.batches import Point
        from i2i_dds.evaluation.summary import Evaluation, write_csv
        from i2i_dds.runs import write_image, write_json

        write_image(self.folder / "comparison.png", self._comparison())
        points = [asdict(point) for edited in self.done for point in edited.trajectory]
        columns = [field.name for field in fields(Point)]
        write_csv(self.folder / "trajectory.csv", columns, points)
        nonfinite = sum(edited.nonfinite for edited in self.done)
        n = len(self.inputs.items)
        seconds = sum(edited.seconds * len(edited.items) for edited in self.done)
        result: dict[str, Any] = {"n": n, "nonfinite": nonfinite, "evaluations": nfe}
        result |= {"seconds": seconds, "seconds_per_image": seconds / n}
        if self.rows:
            evaluation = Evaluation(tuple(self.rows), nonfinite)
            evaluation.write_csv(self.folder / "rows.csv")
            write_json(self.folder / "metrics.json", evaluation.metrics())
            result["metrics"] = evaluation.metrics()
            _report(evaluation)
        items = [self._numbers(edited, i) for edited in self.done for i in range(len(edited.x))]
        order = {item.name: i for i, item in enumerate(self.inputs.items)}
        items.sort(key=lambda numbers: order[numbers["name"]])
        write_json(self.folder / "result.json", {**result, "items": items, "config": settings})

    def _numbers(self, edited: Edited, i: int) -> dict[str, Any]:
        from i2i_dds.metrics.image import psnr, sharpness

        item, x = edited.items[i], edited.x[i : i + 1]
        last = [point for point in edited.trajectory if point.name == item.name][-1]
        found = edited.found
        share = {} if found is None else {"mask_share": found.mask[i].mean().item()}
        return {
            "name": item.name,
            "file": self.inputs.files.get(item.name),
            "source": item.source,
            "target": item.target,
            "width": self.inputs.sizes[item.name][0],
            "height": self.inputs.sizes[item.name][1],
            "steps": last.step,
            "seconds": edited.seconds,
            "gradient_norm": last.gradient_norm,
            "distance": last.distance,
            "psnr_source": psnr(x, item.x[None]).item(),
            "sharpness": sharpness(x).item(),
            "sharpness_source": sharpness(item.x[None]).item(),
            **share,
        }

    def _comparison(self) -> Any:
        from i2i_dds.data.images import to_pil
        from i2i_dds.evaluation.grid import cells, difference, grid

        edits, found = {}, {}
        for edited in self.done:
            for i, (item, x) in enumerate(zip(edited.items, edited.x, strict=True)):
                edits[item.name] = x
                if edited.found is not None:
                    found[item.name] = cells(edited.found.mask[i], x.shape[-2:])
        items = self.inputs.items[:SHOWN]
        columns = {
            "source": [item.x for item in items],
            "edit": [edits[item.name] for item in items],
            "difference": [difference(edits[item.name], item.x) for item in items],
        }
        masks = [found.get(item.name, item.mask) for item in items]
        if all(mask is not None for mask in masks):
            columns["mask"] = masks
        if self.inputs.held_out:
            columns["truth"] = [self.inputs.held_out[item.name]["truth"] for item in items]
        captions = [f"{item.source or '(no source prompt)'} -> {item.target}" for item in items]
        pictures = {name: [to_pil(x) for x in column] for name, column in columns.items()}
        return grid(pictures, captions, side=_side(items))


def _side(items: Sequence[Any]) -> int:
    """A cell of the comparison: twice to four times a small picture, a large one cut to 256."""
    return min(256, max(144, 2 * max(max(item.x.shape[-2:]) for item in items)))


def _report(evaluation: Evaluation) -> None:
    """The numbers, for a person, on standard error."""
    from rich.console import Console

    from i2i_dds.evaluation.metric import printed

    shown = {name: value for name, value in evaluation.metrics().items() if name != "tasks"}
    for name, value in shown.items():
        Console(stderr=True).print(f"{name:26}", printed(name, value))


if __name__ == "__main__":
    main()
