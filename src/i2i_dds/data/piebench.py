"""PIE-Bench, the benchmark of prompted edits (Ju et al., PnP Inversion, ICLR 2024), both ways.

`<root>/mapping_file.json` has for each id:

| key | what |
|---|---|
| `image_path` | the picture, beneath `<root>/annotation_images` (or, here, `<root>` itself) |
| `original_prompt`, `editing_prompt` | with [ ] round the words that differ |
| `editing_instruction` | the edit as an order |
| `editing_type_id` | "0" to "9" |
| `blended_word` | the edited word in the one prompt and in the other, or nothing |
| `mask` | start, length, start, length ... over the pixels row by row |

The layout is that of the README of github.com/cure-lab/PnPInversion. Its evaluation counts the
outermost rows and columns to the mask (`runlength.bordered`), because annotations err at the
border; here a mask is as it was annotated, for editors are told of it too.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds.data.brackets import with_brackets, without_brackets
from i2i_dds.data.edits import SceneEdits
from i2i_dds.data.images import load_image, to_pil
from i2i_dds.data.runlength import decode_runs, encode_runs
from i2i_dds.data.sources import Split
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded, read_object
from i2i_dds.runs import run_folder, write_text
from i2i_dds.tasks import TaskSet

MAPPING = "mapping_file.json"
PICTURES = "annotation_images"


@dataclass(frozen=True)
class PieItem:
    """One edit to be done.

    Attributes:
        name: the id, unique in its benchmark.
        image: RGB.
        mask: mode L and of the picture's size; white (255) where the edit belongs, black (0)
            elsewhere.
        source: describes the picture.
        target: describes what it should become.
        instruction: the edit as an order.
        kind: the editing type's id.
        region: the blended words, may be empty.
    """

    name: str
    image: Image.Image
    mask: Image.Image
    source: str
    target: str
    instruction: str
    kind: str
    region: str = ""


@dataclass(frozen=True)
class PieRecord:
    """What the mapping file says of an item, unchecked; `load_item` reads it.

    Attributes:
        name: the id.
        root: the benchmark's folder.
        entry: the id's value.
    """

    name: str
    root: Path
    entry: Any

    @property
    def where(self) -> str:
        """How an error begins."""
        return f"root: item '{self.name}' of '{self.root / MAPPING}'"

    @property
    def kind(self) -> str:
        """The editing type's id."""
        return _plain(_text(self, "editing_type_id"), f"{self.where} has a type")


def list_items(root: str | Path) -> dict[str, PieRecord]:
    """The items of a benchmark by id, in the mapping file's order; no picture is read yet.

    Args:
        root: the folder that holds the mapping file.

    Raises:
        UserError: there is no mapping file, or it is damaged or empty.
    """
    root = expanded(root)
    path = root / MAPPING
    if not path.is_file():
        raise UserError(f"root: '{root}' holds no {MAPPING}; give the folder of PIE-Bench's data")
    entries = read_object(path, "root", "a JSON object with an item for each id")
    if not entries:
        raise UserError(f"root: '{path}' holds no item; give a JSON object with one for each id")
    for name in entries:
        _plain(name, f"root: '{path}' has an id {name!r}")
    return {name: PieRecord(name, root, entry) for name, entry in entries.items()}


def _plain(name: str, what: str) -> str:
    """A name that may be part of a file's name."""
    if not re.fullmatch(r"[\w-][\w. -]*", name):
        raise UserError(f"{what} that cannot be a file's name; give letters, digits, . _ and -")
    return name


def load_item(record: PieRecord) -> PieItem:
    """The item of a record, with the prompts' brackets taken off.

    Raises:
        UserError: a key is missing or of the wrong kind, the picture is missing, broken or not
            beneath the root, or the mask has odd numbers or begins a run outside the picture.
    """
    image = load_image(_picture(record), "root")
    runs = _value(record, "mask")
    return PieItem(
        name=record.name,
        image=image,
        mask=decode_runs(runs, image.size, f"{record.where} mask"),
        source=without_brackets(_text(record, "original_prompt")),
        target=without_brackets(_text(record, "editing_prompt")),
        instruction=_text(record, "editing_instruction"),
        kind=record.kind,
        region=_text(record, "blended_word"),
    )


def write_items(root: str | Path, items: Iterable[PieItem]) -> None:
    """Writes a benchmark that `list_items` and `load_item` read back exactly.

    Args:
        root: the folder to make; aside first, so that it is never half there.
        items: they may be made one by one.

    Raises:
        UserError: `root` holds files, or an item would come back as another one: an id twice, a
            picture that is not RGB, a mask of another size or with greys, a prompt with brackets.
    """
    entries: dict[str, Any] = {}
    with run_folder(root) as folder:
        (folder / PICTURES).mkdir()
        for number, item in enumerate(items):
            _check_writable(item, entries)
            path = f"{number:012d}.png"
            item.image.save(folder / PICTURES / path)
            entries[item.name] = _entry(item, path)
        write_text(folder / MAPPING, json.dumps(entries, ensure_ascii=False) + "\n")


def critter_items(
    tasks: TaskSet, split: Split, n: int, seed: int = 0, size: int = 64
) -> list[PieItem]:
    """n held-out Critters scenes of each task; see `SceneEdits`.

    The mask is where the edit may show; `kind` is the task's number in the set, from 1.

    Raises:
        UserError: as `SceneEdits`.
    """
    edits = SceneEdits(tasks, split, n, seed, size)
    return [_critter_item(edits[number]) for number in range(len(edits))]


def _critter_item(edit: dict[str, Any]) -> PieItem:
    return PieItem(
        name=edit["key"],
        image=to_pil(edit["image"]),
        mask=to_pil(edit["mask"]),
        source=edit["source"],
        target=edit["target"],
        instruction=edit["instruction"],
        kind=str(edit["task"] + 1),
    )


def _picture(record: PieRecord) -> Path:
    given = Path(_text(record, "image_path"))
    if given.is_absolute() or ".." in given.parts:
        raise UserError(
            f"{record.where} image_path: '{given}' leads out of the root; give a path beneath it"
        )
    for folder in (record.root / PICTURES, record.root):
        if os.path.isfile(folder / given):  # unlike Path's, False for names no file can have
            return folder / given
    raise UserError(
        f"{record.where} image_path: '{given}' is neither beneath {PICTURES} nor beneath the "
        "root; copy the pictures there"
    )


def _check_writable(item: PieItem, taken: Container[str]) -> None:
    levels = {level for _, level in item.mask.getcolors() or [(0, -1)]}
    if item.name in taken:
        wrong = "its id is taken; give each item its own"
    elif item.image.mode != "RGB":
        wrong = f"its picture has mode {item.image.mode}; give RGB"
    elif item.mask.mode != "L" or item.mask.size != item.image.size or not levels <= {0, 255}:
        wrong = "its mask is not allowed; give mode L, the picture's size, only 0 and 255"
    elif re.search(r"[\[\]]", item.source + item.target):
        wrong = "its prompts have brackets, which mark a difference in this format; leave them out"
    else:
        return
    raise UserError(f"items: '{item.name}' cannot be written, {wrong}")


def _entry(item: PieItem, path: str) -> dict[str, Any]:
    source, target = with_brackets(item.source, item.target)
    return {
        "image_path": path,
        "original_prompt": source,
        "editing_prompt": target,
        "editing_instruction": item.instruction,
        "editing_type_id": item.kind,
        "blended_word": item.region,
        "mask": encode_runs(item.mask),
    }


def _text(record: PieRecord, key: str) -> str:
    value = _value(record, key)
    if not isinstance(value, str):
        raise UserError(f"{record.where} {key}: {value!r:.60} is not allowed; give a text")
    return value


def _value(record: PieRecord, key: str) -> Any:
    if not isinstance(record.entry, dict):
        raise UserError(f"{record.where} is {record.entry!r:.60}; give a JSON object")
    if key not in record.entry:
        raise UserError(f"{record.where} has no {key}; give one")
    return record.entry[key]
