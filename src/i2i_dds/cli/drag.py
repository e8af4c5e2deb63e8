"""``python scripts/drag.py``: handles of one picture dragged to their targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import called, choice, flag, integer, optional, several, text
from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.compiling import COMPILE, check_weights_stay, compile_teacher
from i2i_dds.cli.keys import build, typed_keys
from i2i_dds.errors import UserError
from i2i_dds.progress import notify, progress_bar

if TYPE_CHECKING:
    from i2i_dds.data.dragbench import DragItem, TruthItem
    from i2i_dds.editing.drag_items import Dragged, DragRequest
    from i2i_dds.editing.lora_cache import KeptLora
    from i2i_dds.pipelines.drag import PictureLora

SETTINGS = {
    "use_lora": flag(),
    "lora_dir": text(),
    "seed": integer(min=0),
    "size": optional(several(integer(min=1))),
    "fit": choice("auto", "error", "resize"),
}
"""What drags take, one or a benchmark of them, beside what the objects check that they are."""

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
    check(cfg, _RULES | COMPILE)
    from i2i_dds.cli.sizes import side
    from i2i_dds.editing.drag_items import cells_of
    from i2i_dds.editing.handles import collapsed
    from i2i_dds.evaluation.drag_picture import write_drag_pictures
    from i2i_dds.pipelines.drag import drag_picture, first_timestep, request_of
    from i2i_dds.runs import run_folder

    check_weights_stay(cfg)
    drag, lora, item = build(cfg, "drag"), lora_of(cfg), _own_item(cfg)
    teacher = build(cfg, "teacher")
    compile_teacher(cfg, teacher)
    truth = _critter(cfg, teacher) if item is None else None
    item = truth.item if truth is not None else item
    assert item is not None
    request = request_of(item, teacher, side(cfg.size), cfg.fit)
    # Before the LoRA is trained, which would take minutes for nothing.
    first_timestep(drag, teacher)
    for still in collapsed(cells_of(request, teacher.vae_scale_factor)):
        notify(f"points: pair {still + 1} lies within one latent cell and will not move")
    if item.mask is None or not item.mask.getbbox():
        why = "none is given" if item.mask is None else "all of it is black"
        notify(f"mask: {why}, so everything may change")
    else:
        for number, pair in enumerate(item.points, 1):
            if not any(item.mask.getpixel((int(x), int(y))) for x, y in pair):
                notify(f"points: pair {number} lies outside the mask, where nothing may change")
    with run_folder(run_dir()) as folder, progress_bar("Dragging") as update:
        with typed_keys(cfg, "lora"):
            dragged, kept = drag_picture(
                drag,
                teacher,
                request,
                cfg.seed,
                lora,
                on_step=lambda done: update(done.step + 1, done.steps),
                on_lora_step=lambda done: update(done.step + 1, done.steps, "LoRA"),
            )
        write_drag_pictures(folder, item, request, dragged, truth, own_size=cfg.fit == "auto")
        _numbers(folder, request, dragged, kept, truth, resolved(cfg))
    return run_dir()


def lora_of(cfg: DictConfig) -> PictureLora | None:
    """How the teacher learns each picture; None where ``use_lora`` is false."""
    from i2i_dds.pipelines.drag import PictureLora

    settings = build(cfg, "lora")
    with called({"high": "lora_high", "low": "lora_low"}):
        lora = PictureLora(settings, cfg.lora_dir, cfg.lora_high, cfg.lora_low)
    return lora if cfg.use_lora else None


def _own_item(cfg: DictConfig) -> DragItem | None:
    """What the user gave: a benchmark's item, or a picture with its points; None of neither."""
    from i2i_dds.data.dragbench import DragItem, check_points, load_item
    from i2i_dds.data.images import load_image, load_mask

    if cfg.item is not None:
        _refuse(
            cfg, ("image", "points", "mask", "prompt"), "does not go with item, which has its own"
        )
        return load_item(cfg.item)
    if cfg.image is None:
        _refuse(cfg, ("prompt", "points", "mask"), "goes with image=<picture>")
        return None
    image = load_image(cfg.image)
    for key, such in (("prompt", "'a polar bear', or ''"), ("points", "'[[145,216,146,144]]'")):
        if cfg[key] is None:
            raise UserError(f"{key}: none is given; give {key}={such}")
    points = OmegaConf.to_object(cfg.points) if OmegaConf.is_config(cfg.points) else cfg.points
    mask = None if cfg.mask is None else load_mask(cfg.mask, image.size)
    return DragItem(
        Path(cfg.image).stem, image, mask, cfg.prompt, check_points(points, image.size, "points")
    )


def _refuse(cfg: DictConfig, keys: Sequence[str], why: str) -> None:
    for key in keys:
        if cfg[key] is not None:
            raise UserError(f"{key}: {cfg[key]!r} {why}; leave one of them out")


def _critter(cfg: DictConfig, teacher: Any) -> TruthItem:
    from i2i_dds.data.dragbench import critter_items
    from i2i_dds.data.sources import scene_size

    size = scene_size(cfg.size, teacher)
    return critter_items(cfg.split, cfg.number + 1, cfg.seed, (cfg.kind,), size)[-1]


def _numbers(
    folder: Path,
    request: DragRequest,
    dragged: Dragged,
    lora: KeptLora | None,
    truth: TruthItem | None,
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
        "evaluations": dragged.nfe,
        "nonfinite": dragged.nonfinite,
    }
    if lora is not None:
        result["lora"] = {"file": lora.file, "seconds": lora.seconds, "reused": lora.reused}
    if truth is not None:
        from i2i_dds.evaluation.drag_metric import TRUTH_DRAG_METRICS, MeasuredDrag, measure_drag

        measured = MeasuredDrag(truth.item, dragged, request.x, truth)
        numbers = measure_drag(TRUTH_DRAG_METRICS.values(), measured)
        result["metrics"] = {"kind": truth.kind, **numbers}
    write_json(folder / "result.json", {**result, "config": settings})


if __name__ == "__main__":
    main()
