"""``python scripts/drag.py``: handles of one picture dragged to their targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check, choice, flag, integer, number, optional, several, text
from i2i_dds.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

    from i2i_dds.data.dragbench import DragItem, TruthItem
    from i2i_dds.editing.drag_items import Dragged, DragRequest
    from i2i_dds.editing.lora_cache import KeptLora

SETTINGS = {
    "sampler": choice("cycle_sde", "sde", "ode"),
    "order": choice("simultaneous", "sequential"),
    "steps": integer(min=1),
    "t0": number(above=0, max=1),
    "radius": integer(min=0),
    "alpha": number(above=0),
    "beta": number(min=0, max=1),
    "drag_step": number(above=0),
    "guidance": number(min=0),
    "guidance_t0": number(min=0),
    "use_lora": flag(),
    "lora_high": number(min=0),
    "lora_low": number(min=0),
    "lora_dir": text(),
    "seed": integer(),
    "size": optional(several(integer(min=1))),
    "fit": choice("error", "resize"),
}
"""What drags take, one or a benchmark of them."""

_RULES = {
    "image": optional(text()),
    "prompt": optional(text(empty=True)),
    "mask": optional(text()),
    "item": optional(text()),
    "split": choice("train", "val", "test"),
    "kind": choice("head", "accessory", "ear"),
    "number": integer(min=0),
    **SETTINGS,
}


@entry_point("drag", text=["prompt"])
def main(cfg: DictConfig) -> Path:
    """Drags, writes the run folder and returns it."""
    from hydra.utils import instantiate

    from i2i_dds.cli.drag_run import dragged_item, request_of
    from i2i_dds.cli.progress import progress
    from i2i_dds.runs import run_folder

    check(cfg, _RULES)
    item = None if cfg.image is None and cfg.item is None else _item(cfg)
    drag, settings, teacher = instantiate(cfg.drag), instantiate(cfg.lora), instantiate(cfg.teacher)
    truth = None
    if item is None:
        truth = _critter(cfg, teacher)
        item = truth.item
    request = request_of(item, teacher, cfg.size, cfg.fit)
    for note in _notes(item):
        say(note)
    with run_folder(run_dir()) as folder:
        with progress("LoRA") as lora_update, progress("Dragging") as drag_update:
            dragged, kept = dragged_item(
                *(drag, teacher, request, cfg, settings if cfg.use_lora else None),
                on_lora=lambda done: lora_update(done.step + 1, done.steps),
                on_step=lambda done: drag_update(done.step + 1, done.steps),
            )
        write_pictures(folder, item, request, dragged, truth)
        _numbers(folder, request, dragged, kept, truth, teacher.downscale, resolved(cfg))
    for pair in dragged.collapsed:
        say(f"points: pair {pair + 1} lies within one latent cell and did not move")
    return run_dir()


def _item(cfg: DictConfig) -> DragItem:
    """What the user gave: a benchmark's item, or a picture with its points."""
    from i2i_dds.data.dragbench import DragItem, check_points, load_item
    from i2i_dds.data.images import load_image, load_mask

    if cfg.item is not None:
        for key in ("image", "points", "mask", "prompt"):
            if cfg[key] is not None:
                raise UserError(f"{key}: {cfg[key]!r} does not go with item; give one or the other")
        return load_item(cfg.item)
    image = load_image(cfg.image)
    for key, such in (("prompt", "'a polar bear', or ''"), ("points", "'[[145,216,146,144]]'")):
        if cfg[key] is None:
            raise UserError(f"{key}: none is given; give {key}={such}")
    points = check_points(OmegaConf.to_object(cfg.points), image.size, "points")
    mask = None if cfg.mask is None else load_mask(cfg.mask, image.size)
    return DragItem(Path(cfg.image).stem, image, mask, cfg.prompt, points)


def _critter(cfg: DictConfig, teacher: Any) -> TruthItem:
    from i2i_dds.cli.edit_inputs import native_size
    from i2i_dds.data.dragbench import critter_items

    for key in ("prompt", "points", "mask"):
        if cfg[key] is not None:
            raise UserError(
                f"{key}: {cfg[key]!r} goes with image=<picture>; a Critters drag has its own"
            )
    size = native_size(teacher) if cfg.size is None else cfg.size
    kinds = (cfg.kind,)
    return critter_items(cfg.split, cfg.number + 1, cfg.seed, kinds, size)[-1]


def write_pictures(
    folder: Path, item: DragItem, request: DragRequest, dragged: Dragged, truth: TruthItem | None
) -> None:
    """The result, the picture before and after with its marks, and the way between."""
    from i2i_dds.data.images import to_pil
    from i2i_dds.evaluation.drag_picture import marked
    from i2i_dds.evaluation.grid import grid
    from i2i_dds.runs import write_image

    picture, result = to_pil(request.x), to_pil(dragged.x)
    mask = None if request.mask is None else to_pil(request.mask)
    if dragged.mask is None:
        mask = None
    write_image(folder / "dragged.png", result)
    before = marked(picture, item.points, mask, item.image.size)
    after = marked(result, item.points, None, item.image.size)
    columns: dict[str, list[Image.Image]] = {"before": [before], "after": [after]}
    columns["dragged"] = [result]
    if truth is not None:
        columns["truth"] = [truth.truth]
    side = min(512, max(256, max(before.size)))
    write_image(folder / "before_after.png", grid(columns, [item.prompt], side))
    first, *others = [marked(to_pil(x), item.points, None, item.image.size) for x in dragged.frames]
    options = {"append_images": others, "duration": 600, "loop": 0}
    write_image(folder / "animation.gif", first, save_all=True, **options)


def _numbers(
    folder: Path,
    request: DragRequest,
    dragged: Dragged,
    kept: KeptLora | None,
    truth: TruthItem | None,
    downscale: int,
    settings: dict[str, Any],
) -> None:
    from i2i_dds.runs import write_json

    result: dict[str, Any] = {
        "name": request.name,
        "prompt": request.prompt,
        "points": request.points,
        "handles": dragged.handles,
        "collapsed": [number + 1 for number in dragged.collapsed],
        "everything_editable": dragged.mask is None,
        "drag_steps": dragged.drag_steps,
        "seconds": dragged.seconds,
        "evaluations": dragged.evaluations,
        "nonfinite": dragged.nonfinite,
    }
    if kept is not None:
        result["lora"] = {"file": kept.file, "seconds": kept.seconds, "reused": kept.reused}
    if truth is not None:
        from i2i_dds.evaluation.drags import truth_numbers

        result["metrics"] = truth_numbers(truth, dragged.x, downscale)
    write_json(folder / "result.json", {**result, "config": settings})


def _notes(item: DragItem) -> list[str]:
    if item.mask is None:
        return ["mask: none is given, so everything may change"]
    if not item.mask.getbbox():
        return ["mask: all of it is black, so everything may change"]
    return []


def say(note: str) -> None:
    """A note for a person, on standard error."""
    from rich.console import Console

    Console(stderr=True).print(note, soft_wrap=True, markup=False)
