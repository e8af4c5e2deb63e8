"""Where samples come from: the procedural world, a folder of pictures, a teacher's own drawings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from i2i_dds.critters import Scene, caption, render, scenes
from i2i_dds.data.images import fit, list_images, load_image, to_pil
from i2i_dds.data.shards import Sample
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded, parse_object, read_file
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.sample import sample

Split = Literal["train", "val", "test"]
_STREAMS = {"train": 1, "val": 2, "test": 3}
_LISTS = ("metadata.jsonl", "captions.jsonl")


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


def folder_samples(
    folder: str | Path,
    size: int | None = None,
    argument: str = "path",
    unreadable: dict[str, str] | None = None,
) -> Iterator[Sample]:
    """The pictures of a folder with their captions, in order of name.

    A caption stands in `{picture's name}.txt`, or in a line of `metadata.jsonl` or
    `captions.jsonl`: {"file_name": ..., "caption" or "text": ...}.

    Args:
        folder: where the pictures are.
        size: scale and cut each to a square of this side; None keeps it as it is.
        argument: what the caller calls it, for errors.
        unreadable: pictures that cannot be read are passed over and noted here, file -> why; None
            refuses the first.

    Raises:
        UserError: no folder, a picture unreadable or without a caption, or a bad list.
    """
    folder = expanded(folder)
    if not folder.is_dir():
        raise UserError(
            f"{argument}: '{folder}' is no folder; give a folder of pictures with captions"
        )
    for path, words in _captioned(folder, argument):
        try:
            image = load_image(path, argument)
        except UserError as error:
            if unreadable is None:
                raise
            unreadable[str(path)] = str(error)
            continue
        if size is not None:
            image = fit(image, 1, size, "crop")
        yield Sample(key=_key(path, folder), image=image, caption=words, scene=None)


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


def read_prompts(path: str | Path, argument: str = "prompts") -> list[str]:
    """The prompts of a text file, one a line; empty lines are passed over.

    Raises:
        UserError: no such file, or nothing in it.
    """
    lines = read_lines(expanded(path), argument)
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"{argument}: '{path}' holds no prompt; write one a line")
    return prompts


def read_text(path: Path, argument: str) -> str:
    """A text file in UTF-8, without the mark that some editors put first.

    Raises:
        UserError: no such file, or another encoding.
    """
    data = read_file(path, argument, "a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{argument}: '{path}' is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error


def read_lines(path: Path, argument: str) -> list[str]:
    """The lines of a text file.

    Only the marks of a text file end one: U+2028 and its like, which ``str.splitlines`` also takes
    for such, stand within prompts and JSON.

    Raises:
        UserError: as ``read_text``.
    """
    return re.split(r"\r\n|\r|\n", read_text(path, argument))


def _key(path: Path, folder: Path) -> str:
    """A picture's key, from its name alone: pictures that come later move no other."""
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", name.stem).strip("-")[:40]
    return f"{readable or 'picture'}-{blake2b(str(name).encode(), digest_size=6).hexdigest()}"


def _captioned(folder: Path, argument: str) -> list[tuple[Path, str]]:
    listed = next((folder / name for name in _LISTS if (folder / name).is_file()), None)
    if listed is not None:
        return _from_list(folder, listed, argument)
    pairs = []
    for path in list_images(folder, argument):
        words = path.with_suffix(".txt")
        if not words.is_file():
            raise UserError(
                f"{argument}: '{path}' has no caption; "
                f"write it to '{words.name}' beside it, or list "
                f"all in {' or '.join(_LISTS)}"
            )
        pairs.append((path, read_text(words, argument).strip()))
    return pairs


def _from_list(folder: Path, listed: Path, argument: str) -> list[tuple[Path, str]]:
    pairs = []
    for number, line in enumerate(read_lines(listed, argument), 1):
        if not line.strip():
            continue
        try:
            values = parse_object(line)
        except ValueError:
            values = {}
        name, words = values.get("file_name"), values.get("caption", values.get("text"))
        if not isinstance(name, str) or "\0" in name or not isinstance(words, str):
            raise UserError(
                f"{argument}: line {number} of '{listed}' is wrong; "
                'wanted is {"file_name": "a.png", "caption": "a cat"}'
            )
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{argument}: line {number} of '{listed}' leaves its folder: '{name}'")
        pairs.append((path, words.strip()))
    return sorted(pairs)
