"""What ``scripts/edit.py`` is asked to edit: a user's pictures, or held-out Critters scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.checks import listed
from i2i_dds.cli.sizes import side
from i2i_dds.data.edits import SceneEdits
from i2i_dds.data.images import list_images, load_image, load_mask
from i2i_dds.data.sources import scene_size
from i2i_dds.editing.batches import EditItem
from i2i_dds.errors import UserError
from i2i_dds.pipelines.edit_run import EditInputs
from i2i_dds.pipelines.pictures import one_for_each, prepare
from i2i_dds.progress import notify
from i2i_dds.runs import shortened
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher

SCENE_MASK = "scene"
AUTO_MASK = "auto"


def picture_inputs(cfg: DictConfig, teacher: Teacher) -> EditInputs:
    """Every picture of ``image`` with every prompt of ``prompt.target``."""
    paths = list_images(listed(cfg.image))
    sources = one_for_each(listed(cfg.prompt.source), len(paths), "prompt.source")
    masks = one_for_each(_masks(cfg.mask), len(paths), "mask")
    targets, size = listed(cfg.prompt.target), side(cfg.size)
    items, files, sizes = [], {}, {}
    for path, words, masked in zip(paths, sources, masks, strict=True):
        picture = load_image(path)
        mask = None if masked is None else _mask(masked, picture.size)
        for number, target in enumerate(targets, 1):
            stem = shortened(path.stem)
            name = _unused(stem if len(targets) == 1 else f"{stem}-{number}", files)
            prepared = prepare(
                name=name,
                key=path.name,
                picture=picture,
                source=words,
                target=target,
                mask=mask,
                vae_scale_factor=teacher.vae_scale_factor,
                size=size,
                fit_mode=cfg.fit,
            )
            items.append(prepared.item)
            files[name], sizes[name] = str(path), prepared.size
    return EditInputs(tuple(items), files, sizes=sizes)


def scene_inputs(cfg: DictConfig, tasks: TaskSet, teacher: Teacher) -> EditInputs:
    """Held-out scenes of each task, with the prompts that the task makes of their captions."""
    size = scene_size(cfg.size, teacher)
    data = SceneEdits(tasks, cfg.split, cfg.n, cfg.seed, size)
    held_out = {scene["key"]: scene for scene in map(data.__getitem__, range(len(data)))}
    items = [
        EditItem(
            name=key,
            key=key,
            x=scene["image"],
            source=scene["source"],
            target=scene["target"],
            mask=scene["mask"] if cfg.mask == SCENE_MASK else None,
        )
        for key, scene in held_out.items()
    ]
    sizes = {key: (size, size) for key in held_out}
    return EditInputs(tuple(items), held_out=held_out, sizes=sizes)


def check_picture_inputs(cfg: DictConfig) -> None:
    """Refuses what is missing before anything is loaded."""
    if cfg.image is None:
        raise UserError("image: none is given; give a picture file, a folder or a list of them")
    if cfg.prompt.target is None:
        raise UserError(
            "prompt.target: none is given; give a text such as 'a lion on a beach', or a list"
        )
    if cfg.mask == SCENE_MASK and not Path(SCENE_MASK).is_file():
        raise UserError("mask: 'scene' is for source=critters; give a picture file")
    list_images(listed(cfg.image))
    _masks(cfg.mask)


def check_scene_inputs(cfg: DictConfig) -> None:
    """Refuses what belongs to pictures."""
    if cfg.image is not None:
        raise UserError(f"image: {_shown(cfg.image)} goes with source=image, not source=critters")
    if cfg.prompt.target is not None or cfg.prompt.source != "":
        key = "source" if cfg.prompt.target is None else "target"
        raise UserError(
            f"prompt.{key}: {_shown(cfg.prompt[key])} goes with image=<picture>; "
            "the prompts of Critters scenes are made by task="
        )
    if cfg.mask not in (None, SCENE_MASK, AUTO_MASK):
        raise UserError(
            f"mask: {_shown(cfg.mask)} goes with image=<picture>; "
            "scenes take 'scene', 'auto' or null"
        )


def _masks(value: Any) -> list[Any]:
    return [None] if value in (None, AUTO_MASK) else list_images(listed(value), "mask")


def _shown(value: Any) -> str:
    return repr(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _mask(path: Path, size: tuple[int, int]) -> Any:
    """A user's mask; of an empty one it is said that it holds nothing back."""
    mask = load_mask(path, size)
    if not mask.getbbox():
        notify(f"mask: all of '{path}' is black, so everything may change")
    return mask


def _unused(name: str, taken: dict[str, str]) -> str:
    """``name``, or with a number where two pictures are called the same."""
    number, unique = 1, name
    while unique in taken:
        number, unique = number + 1, f"{name}_{number + 1}"
    return unique
