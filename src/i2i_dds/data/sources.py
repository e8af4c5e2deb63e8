"""Where samples come from: the procedural world, and a teacher's own drawings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from i2i_dds.critters import Scene, caption, render, scenes
from i2i_dds.data.images import to_pil
from i2i_dds.data.shards import Sample
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.errors import UserError
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.sample import sample

Split = Literal["train", "val", "test"]
_STREAMS = {"train": 1, "val": 2, "test": 3}


class Captioned(NamedTuple):
    """A scene with its sample's key and caption."""

    key: str
    scene: Scene
    caption: str


def captioned_scenes(
    split: Split, n: int, seed: int = 0, start: int = 0, **fixed: str | Sequence[str]
) -> Iterator[Captioned]:
    """A split's scenes from number `start` on, each as `(split, seed, number)` alone has it."""
    for number, scene in enumerate(scenes(split, n, seed, start, **fixed), start):
        words = caption(scene, np.random.default_rng([_STREAMS[split], seed, number]))
        yield Captioned(f"{split}-{seed}-{number:07d}", scene, words)


def task_scenes(
    tasks: TaskSet, split: Split, n: int, seed: int = 0, **fixed: str | Sequence[str]
) -> Iterator[Captioned]:
    """n scenes that are sources of the tasks, an equal share for each."""
    for index, task in enumerate(tasks):
        share = n * (index + 1) // len(tasks) - n * index // len(tasks)
        yield from captioned_scenes(split, share, seed, index * n, **{**fixed, **task.source})


def critters_samples(described: Iterable[Captioned], size: int = 64) -> Iterator[Sample]:
    """Scenes, drawn at `size` pixels."""
    for key, scene, words in described:
        yield Sample(key=key, image=render(scene, size), caption=words, scene=scene.to_dict())


def scene_size(size: Any, teacher: Teacher, argument: str = "size") -> int:
    """The side in pixels that scenes are drawn at: ``size``, or where that is None the native one.

    Raises:
        UserError: It is not one side that the teacher's autoencoder takes.
    """
    size = teacher.native_size if size is None else size
    if not isinstance(size, int) or size % teacher.vae_scale_factor:
        shown = size if isinstance(size, int) else tuple(size)
        raise UserError(
            f"{argument}: {shown} is not allowed; give one side, a multiple of "
            f"{teacher.vae_scale_factor}"
        )
    return size


def teacher_samples(
    teacher: Teacher,
    prompts: Iterable[tuple[str, dict[str, Any] | None]],
    seed: int = 0,
    size: int = 64,
    steps: int = 30,
    guidance_scale: float = 4.0,
    batch_size: int = 16,
) -> Iterator[Sample]:
    """Pictures that the teacher draws, as the DDS paper trains its network on.

    Args:
        teacher: who draws.
        prompts: (caption, attributes of the scene it describes, or None), one per picture.
        seed: with a picture's number it makes its noise, whatever the batch size.
        size: side in pixels.
        steps: DDIM steps.
        guidance_scale: classifier-free guidance.
        batch_size: pictures per network call.
    """
    if batch_size < 1:
        raise UserError(f"batch_size: {batch_size} is not allowed; give 1 or more")
    stream, first = iter(prompts), 0
    while batch := list(islice(stream, batch_size)):
        numbers = range(first, first + len(batch))
        words = [text for text, _ in batch]
        x = sample(teacher, words, item_generators(seed, numbers), steps, guidance_scale, size)
        for number, picture, (text, scene) in zip(numbers, x, batch, strict=True):
            yield Sample(
                key=f"teacher-{seed}-{number:07d}",
                image=to_pil(picture),
                caption=text,
                scene=scene,
            )
        first += len(batch)


def picture_key(path: Path, folder: Path) -> str:
    """A picture's key, from its name alone: pictures that come later move no other."""
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", name.stem).strip("-")[:40]
    digest = blake2b(name.as_posix().encode(), digest_size=6).hexdigest()
    return f"{readable or 'picture'}-{digest}"
