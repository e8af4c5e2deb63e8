"""What ``scripts/edit.py`` is asked to edit: a user's pictures, or held-out Critters scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.checks import listed
from i2i_dds.cli.sizes import side
from i2i_dds.data.edits import SceneEdits
from i2i_dds.data.images import list_images, load_image, load_mask, to_pil
from i2i_dds.data.sources import scene_size
from i2i_dds.editing.batches import EditItem
from i2i_dds.editing.student import StudentEditor
from i2i_dds.errors import UserError
from i2i_dds.pipelines.edit_inputs import EditInputs, EditRequest, Unreadable, look_through
from i2i_dds.pipelines.pictures import one_for_each
from i2i_dds.pipelines.prepared import PictureItem, Words, prepare
from i2i_dds.progress import notify
from i2i_dds.runs import shortened
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher

SCENE_MASK = "scene"
AUTO_MASK = "auto"


def picture_inputs(cfg: DictConfig, teacher: Teacher, edits: Sequence[Words]) -> EditInputs:
    """Every picture of ``image`` for every edit that is asked of it.

    Args:
        cfg: The config.
        teacher: Whose sizes pictures are fitted to.
        edits: See :func:`wanted`.

    Raises:
        UserError: Something is missing or does not fit, or no picture can be read.
    """
    paths = list_images(listed(cfg.image))
    count, asked, names, told = len(paths), [], set(), set()
    sources = one_for_each(listed(cfg.prompt.source), count, "prompt.source")
    negatives = one_for_each(listed(cfg.prompt.negative), count, "prompt.negative")
    masks = one_for_each(_masks(cfg.mask), count, "mask")
    for path, source, negative, mask in zip(paths, sources, negatives, masks, strict=True):
        for number, edit in enumerate(edits, 1):
            stem = shortened(path.stem)
            name = _unused(stem if len(edits) == 1 else f"{stem}-{number}", names)
            names.add(name)
            words = Words(source, edit.target, negative, edit.instruction)

            def read(
                name: str = name, path: Path = path, words: Words = words, mask: Any = mask
            ) -> PictureItem:
                picture = _picture(path)
                return prepare(
                    name=name,
                    key=path.name,
                    picture=picture,
                    words=words,
                    mask=None if mask is None else _mask(mask, picture.size, told),
                    vae_scale_factor=teacher.vae_scale_factor,
                    size=side(cfg.size),
                    fit_mode=cfg.fit,
                )

            asked.append(EditRequest(name, read, str(path)))
    return look_through(asked)


def scene_inputs(
    cfg: DictConfig, tasks: TaskSet, teacher: Teacher, student: StudentEditor | None
) -> EditInputs:
    """Held-out scenes of each task, with the prompts that the task makes of their captions."""
    size = scene_size(cfg.size, teacher)
    data = SceneEdits(tasks, cfg.split, cfg.n, cfg.seed, size)
    reads_text = student is not None and student.network.conditioning == "text"

    def read(number: int) -> PictureItem:
        scene = data[number]
        item = EditItem(
            name=scene["key"],
            key=scene["key"],
            x=scene["image"],
            source=scene["source"],
            target=scene["target"],
            mask=scene["mask"] if cfg.mask == SCENE_MASK else None,
            negative=cfg.prompt.negative,
            instruction=scene["instruction"] if reads_text else tasks[scene["task"]].name,
        )
        held = None if item.mask is None else (to_pil(item.x), to_pil(item.mask))
        return PictureItem(item, (size, size), held, scene)

    keys = [edit[1] for edit in data.edits]
    return look_through(
        [EditRequest(key, lambda number=i: read(number)) for i, key in enumerate(keys)]
    )


def wanted(cfg: DictConfig, student: StudentEditor | None) -> list[Words]:
    """What is asked of every picture: prompts, or what a student is told.

    Raises:
        UserError: The student does not know the task, or reads no text.
    """
    targets = None if cfg.prompt.target is None else listed(cfg.prompt.target)
    if student is None:
        return [Words(target=words) for words in targets or ()]
    tasks = tasks_of(cfg)
    told = student.instructions(None if tasks is None else tasks.names, targets, _TYPED)
    return [Words(target=words, instruction=words) for words in told]


def tasks_of(cfg: DictConfig) -> TaskSet | None:
    """Those of ``task``; None where nothing is chosen."""
    if cfg.get("task") is None:
        return None
    return TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))


def check_student_inputs(cfg: DictConfig) -> None:
    """Refuses what a student does not look at."""
    for key in ("source", "negative"):
        if any(listed(cfg.prompt[key])):
            raise UserError(
                f"prompt.{key}: {_shown(cfg.prompt[key])} is not looked at by a student; "
                "leave it out"
            )
    if cfg.mask == AUTO_MASK:
        raise UserError("mask: 'auto' needs an editor that reads prompts; give a picture file")


def check_picture_inputs(cfg: DictConfig, student: bool) -> None:
    """Refuses what is missing before anything is loaded."""
    if cfg.image is None:
        raise UserError("image: none is given; give a picture file, a folder or a list of them")
    if cfg.prompt.target is None and not student:
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
    if not isinstance(cfg.prompt.negative, str):
        raise UserError(
            f"prompt.negative: {_shown(cfg.prompt.negative)} is a list, which goes with "
            "image=<picture>; give one for all scenes"
        )
    if cfg.mask not in (None, SCENE_MASK, AUTO_MASK):
        raise UserError(
            f"mask: {_shown(cfg.mask)} goes with image=<picture>; "
            "scenes take 'scene', 'auto' or null"
        )


_TYPED = ("task", "prompt.target")


def _picture(path: Path) -> Any:
    """A picture; one that is broken shall not keep the others from being edited."""
    try:
        return load_image(path)
    except UserError as error:
        raise Unreadable(str(error)) from error


def _masks(value: Any) -> list[Any]:
    return [None] if value in (None, AUTO_MASK) else list_images(listed(value), "mask")


def _shown(value: Any) -> str:
    return repr(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _mask(path: Path, size: tuple[int, int], told: set[Path]) -> Any:
    """A user's mask; of an empty one it is said, once, that it holds nothing back."""
    mask = load_mask(path, size)
    if not mask.getbbox() and path not in told:
        told.add(path)
        notify(f"mask: all of '{path}' is black, so everything may change")
    return mask


def _unused(name: str, taken: set[str]) -> str:
    """``name``, or with a number where two pictures are called the same."""
    number, unique = 1, name
    while unique in taken:
        number, unique = number + 1, f"{name}_{number + 1}"
    return unique
