"""Drags to be measured: DragBench in its two published layouts, and Critters with their truth.

| | SDE-Drag's (`dragbench_s`) | DragDiffusion's (`dragbench_d`) |
|---|---|---|
| item's folder | `<root>/<item>` | `<root>/<category>/<item>` |
| picture | `origin_image.png` | `original_image.png` |
| instruction | `prompt.json`: source, target, prompt | `drag_instruction.json`: points, prompt |
| mask | `mask.png`, white may change | the same |

The second keeps handle, target, handle, target ... in one list. It also has pickles, which could
run code and are never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds.critters import critter_drags, render
from i2i_dds.critters.drags import KINDS, Kind
from i2i_dds.data.images import load_image, load_mask
from i2i_dds.data.sources import Split
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded, read_object

Point = tuple[float, float]
Points = tuple[tuple[Point, Point], ...]

_LAYOUTS = {"prompt.json": "origin_image.png", "drag_instruction.json": "original_image.png"}
_FILES = {*_LAYOUTS, *_LAYOUTS.values(), "mask.png"}
_WANTED = "; ".join(f"{image}, mask.png and {words}" for words, image in _LAYOUTS.items())
_LARGEST = 2**53  # of the numbers in a file of points


@dataclass(frozen=True)
class DragItem:
    """One drag to be done.

    Attributes:
        name: unique in its benchmark.
        image: RGB.
        mask: mode L and of the picture's size, white where it may change; None for everywhere.
        prompt: describes the picture.
        points: pairs of handle and target in pixels (x, y) of the picture.
    """

    name: str
    image: Image.Image
    mask: Image.Image | None
    prompt: str
    points: Points


@dataclass(frozen=True)
class TruthItem:
    """A drag whose result is known.

    Attributes:
        item: the drag.
        kind: what moves: "head", "accessory" or "ear".
        truth: RGB, the picture as it should become.
        templates: for each pair of points, mode L, how much of each pixel of `truth` the moved
            thing covers; for `i2i_dds.metrics.arrival.arrived`.
    """

    item: DragItem
    kind: Kind
    truth: Image.Image
    templates: tuple[Image.Image, ...]


def list_items(root: str | Path, argument: str = "root") -> dict[str, Path]:
    """The items' folders under `root` by name, in order of names; nothing is read yet.

    Args:
        root: a folder of items, of categories of items, or one item.
        argument: what the caller calls it, for errors.

    Raises:
        UserError: it does not exist or holds no item.
    """
    root = expanded(root)
    if not root.is_dir():
        raise UserError(
            f"{argument}: '{root}' is not a folder; give one that holds DragBench's items"
        )
    if _is_item(root):
        return {root.resolve().name: root}
    found: dict[str, Path] = {}
    for folder in _folders(root):
        inside = [folder] if _is_item(folder) else [f for f in _folders(folder) if _is_item(f)]
        found |= {item.relative_to(root).as_posix(): item for item in inside}
    if not found:
        raise UserError(f"{argument}: '{root}' holds no item; an item's folder has {_either()}")
    return dict(sorted(found.items()))


def load_item(folder: str | Path, name: str | None = None) -> DragItem:
    """The item in a folder of either layout.

    Args:
        folder: the item's.
        name: by default the folder's own.

    Raises:
        UserError: a file is missing or broken, a mask is of another size, or points are not pairs
            of places in the picture.
    """
    folder = expanded(folder)
    words = next((folder / file for file in _LAYOUTS if (folder / file).is_file()), None)
    wanted = () if words is None else (_LAYOUTS[words.name], "mask.png")
    if words is None or not all((folder / file).is_file() for file in wanted):
        raise UserError(f"item: '{folder}' is not whole; wanted are {_either()}")
    image = load_image(folder / _LAYOUTS[words.name])
    instruction = read_object(words, "item", "a JSON object with a prompt and points")
    prompt = _entry(words, instruction, "prompt", str)
    rows, argument = _rows(words, instruction)
    return DragItem(
        name=name or folder.resolve().name,
        image=image,
        mask=load_mask(folder / "mask.png", image.size),
        prompt=prompt,
        points=check_points(rows, image.size, argument),
    )


def critter_items(
    split: Split, n: int, seed: int = 0, kinds: Sequence[Kind] = KINDS, size: int = 64
) -> list[TruthItem]:
    """Drags of Critters with the pictures as they should become; see `critter_drags`."""
    return [
        TruthItem(
            DragItem(drag.key, render(drag.scene, size), drag.mask, drag.prompt, drag.points),
            drag.kind,
            render(drag.truth, size),
            drag.templates,
        )
        for drag in critter_drags(split, n, seed, kinds, size)
    ]


def check_points(points: Any, size: tuple[int, int], argument: str = "points") -> Points:
    """Rows of numbers -> pairs of handle and target.

    Args:
        points: one [x, y, x2, y2] a pair, handle first, in pixels.
        size: (width, height) of the picture.
        argument: what the caller calls them, or their file, for errors.

    Raises:
        UserError: no pairs, not four numbers in one, or a place outside the picture.
    """
    allowed = "give a list of [x, y, x2, y2], handle then target, in pixels"
    if not _is_list(points) or not points:
        raise UserError(f"{argument}: {points!r} is not allowed; {allowed}")
    pairs = []
    for row in points:
        if not _is_list(row) or len(row) != 4 or not all(map(_is_number, row)):
            raise UserError(f"{argument}: {_plain(row)!r} is not allowed; {allowed}")
        x, y, x2, y2 = map(float, row)
        for place in ((x, y), (x2, y2)):
            if not all(0 <= at < side for at, side in zip(place, size, strict=True)):
                raise UserError(
                    f"{argument}: ({place[0]:g}, {place[1]:g}) is outside the picture; "
                    f"x is at least 0 and below {size[0]}, y below {size[1]}"
                )
        pairs.append(((x, y), (x2, y2)))
    return tuple(pairs)


def _rows(path: Path, instruction: dict[str, Any]) -> tuple[list[Any], str]:
    """The points of an instruction as rows [x, y, x2, y2], and what to call them in an error."""
    if path.name == "prompt.json":
        handles = _entry(path, instruction, "source", list)
        targets = _entry(path, instruction, "target", list)
        argument = f"'{path}' source and target"
        if len(handles) != len(targets):
            raise UserError(
                f"{argument}: {len(handles)} handles and {len(targets)} targets; "
                "give as many of each"
            )
    else:
        flat, argument = _entry(path, instruction, "points", list), f"'{path}' points"
        if len(flat) % 2:
            raise UserError(f"{argument}: {len(flat)} places; give a target after each handle")
        handles, targets = flat[::2], flat[1::2]
    for place in (*handles, *targets):
        if not _is_list(place) or len(place) != 2:
            raise UserError(f"{argument}: {place!r} is not allowed; give [x, y] in pixels")
    return [[*pair[0], *pair[1]] for pair in zip(handles, targets, strict=True)], argument


def _entry(path: Path, values: dict[str, Any], key: str, kind: type) -> Any:
    if not isinstance(values.get(key), kind):
        what = "a text" if kind is str else "a list of [x, y]"
        raise UserError(f"'{path}' {key}: {values.get(key)!r} is not allowed; give {what}")
    return values[key]


def _folders(folder: Path) -> list[Path]:
    return [f for f in sorted(folder.iterdir()) if f.is_dir() and not f.name.startswith(".")]


def _is_item(folder: Path) -> bool:
    """Whether any of an item's files is there: one that lacks another is reported, not missed."""
    return any((folder / file).is_file() for file in _FILES)


def _either() -> str:
    return f"either {_WANTED.replace('; ', ', or ')}"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float holds; NaN is in no range."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -_LARGEST <= value <= _LARGEST


def _plain(row: Any) -> Any:
    return list(row) if _is_list(row) else row
