"""The readers of what others wrote, each with valid files and the ways to damage them."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml
from PIL import Image

from i2i_dds.data import dragbench, piebench
from i2i_dds.data.folders import folder_samples
from i2i_dds.data.images import load_image, load_mask
from i2i_dds.data.shards import BrokenSample, Shards, write_shards
from i2i_dds.data.text import read_prompts
from i2i_dds.tasks import TaskSet
from tests.security.fuzz import mutations as m

CONF = Path(__file__).resolve().parents[3] / "conf"


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: Unique.
        file: The file that is damaged, beneath the folder that :attr:`prepare` fills.
        seeds: What it holds when it is whole.
        read: Called with the folder; raises UserError or BrokenSample for damage it does not bear.
        mutators: How it is damaged.
        prepare: Makes all else that lies in the folder.
    """

    name: str
    file: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], Any]
    mutators: tuple[m.Mutator, ...] = (m.bytes_changed,)
    prepare: Callable[[Path], None] = field(default=lambda folder: None)

    def case(self, seeds: list[bytes], number: int) -> bytes:
        """The damaged file of that number, always the same."""
        rng = Random(f"{self.name}/{number}")
        return rng.choice(self.mutators)(rng.choice(seeds), rng)


def picture(mode: str = "RGB", size: tuple[int, int] = (9, 7)) -> Image.Image:
    """Noise."""
    levels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(levels).convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture's file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _pngs(_: Path) -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 1000)
    found = [saved(picture(mode), "PNG", exif=exif) for mode in ("RGB", "RGBA", "L", "P", "1")]
    frames = [picture("RGB"), picture("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    gray = picture("L")
    return [
        *found,
        saved(deep, "PNG"),
        saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        saved(gray.point(lambda level: level // 128), "PNG", icc_profile=b"x" * 200),
    ]


def _others(_: Path) -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 3, "a cat"
    frames = [picture("RGB"), picture("RGB", (9, 7)).rotate(180)]
    return [
        saved(picture("RGB"), "JPEG", exif=exif),
        saved(picture("L"), "JPEG", progressive=True),
        saved(picture("CMYK"), "JPEG"),
        saved(frames[0], "MPO", save_all=True, append_images=frames[1:]),
        saved(picture("RGB"), "WEBP", lossless=True, exif=exif),
        saved(picture("RGBA"), "WEBP"),
        saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        *(saved(picture(mode), "BMP") for mode in ("RGB", "P", "1", "L")),
    ]


def _read_picture(folder: Path) -> None:
    image = load_image(folder / "a.png")
    assert image.mode == "RGB" and min(image.size) > 0, image
    mask = load_mask(folder / "a.png", image.size)
    assert mask.mode == "L" and mask.size == image.size, mask


def _tars(_: Path) -> list[bytes]:
    found = []
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        name = "ä" * 20 if kind == tarfile.USTAR_FORMAT else "ä" * 120
        with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
            for suffix, data in (
                (".png", saved(picture(), "PNG")),
                (".json", json.dumps({"caption": ["a cat"], "scene": {"x": 1}}).encode()),
                (".txt", b"\xef\xbb\xbfa cat"),
            ):
                member = tarfile.TarInfo(name + suffix)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        found.append(stream.getvalue())
    return found


def _samples() -> Iterator[Any]:
    for key in ("a", "b"):
        yield {"key": key, "image": picture(), "caption": f"{key}, ä", "scene": {"x": 0.5}}


def _read_shards(folder: Path) -> None:
    shards = Shards(folder)
    shards.oddities.notes()
    for index in range(len(shards)):
        try:
            sample = shards.read(index)
        except BrokenSample:
            continue
        assert isinstance(sample["caption"], str) and sample["image"].mode == "RGB"
        assert sample["scene"] is None or isinstance(sample["scene"], dict)


def _write_shards(folder: Path) -> None:
    write_shards(_samples(), folder / "s", 1, settings={"seed": 1})


def _write_pictures(folder: Path) -> None:
    for name in "ab":
        (folder / f"{name}.png").write_bytes(saved(picture(), "PNG"))
        (folder / f"{name}.txt").write_text("a cat")


def _table(folder: Path) -> list[bytes]:
    return [b'file_name,text,author\r\na.png,"a ""big"" cat, asleep",me\r\nb.png,a dog,\r\n']


def _listed(_: Path) -> list[bytes]:
    rows = ({"file_name": f"{name}.png", "text": f"a cat, {name}"} for name in "ab")
    return [b"\n".join(json.dumps(row).encode() for row in rows)]


def _write_pie(folder: Path) -> None:
    (folder / piebench.PICTURES).mkdir()
    (folder / piebench.PICTURES / "a.png").write_bytes(saved(picture(), "PNG"))


def _pie(_: Path) -> list[bytes]:
    entry = {
        "image_path": "a.png",
        "original_prompt": "a [cat] on a mat",
        "editing_prompt": "a [lion] on a mat",
        "editing_instruction": "make it a lion",
        "editing_type_id": "1",
        "blended_word": "cat lion",
        "mask": [3, 4, 20, 2],
    }
    return [m.as_json({"0001": entry, "0002": entry})]


def _read_pie(folder: Path) -> None:
    for record in piebench.list_items(folder).values():
        piebench.load_item(record)


def _write_drag(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(saved(picture(), "PNG"))
        (folder / "mask.png").write_bytes(saved(Image.new("L", (9, 7), 255), "PNG"))

    return write


def _read_task(folder: Path) -> None:
    try:
        values = yaml.safe_load((folder / "task.yaml").read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError):
        return  # Hydra's to tell, see i2i_dds.cli.explain
    for task in TaskSet.from_mapping(values):
        if task.matches("A cat on a mat, at night."):
            task.prompts("A cat on a mat, at night.")


def _tasks(_: Path) -> list[bytes]:
    found = []
    for name in ("cat2lion", "add_hat"):
        path = CONF / "task" / f"{name}.yaml"
        if path.is_file():
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            found.append(m.as_json({key: values[key] for key in ("name", "tasks")}))
    return found


def _prompts(folder: Path) -> None:
    for words in read_prompts(folder / "prompts.txt"):
        assert words.strip() == words != ""


BOTH = (m.json_changed, m.json_changed, m.bytes_changed)
DATA = (
    Target("png", "a.png", _pngs, _read_picture, (m.png_changed, m.bytes_changed)),
    Target("jpeg, webp, bmp", "a.png", _others, _read_picture),
    Target("shard", "a.tar", _tars, _read_shards, (m.tar_changed, m.bytes_changed)),
    Target(
        *("manifest", "s/manifest.json", lambda f: [(f / "s/manifest.json").read_bytes()]),
        *(lambda f: _read_shards(f / "s"), BOTH, _write_shards),
    ),
    Target(
        *("list of captions", "metadata.jsonl", _listed, lambda f: list(folder_samples(f))),
        *((m.lines_changed, m.bytes_changed), _write_pictures),
    ),
    Target(
        *("table of captions", "metadata.csv", _table, lambda f: list(folder_samples(f))),
        *((m.bytes_changed,), _write_pictures),
    ),
    Target(
        *("caption", "a.txt", lambda f: ["Ein Löwe\n".encode() * 4]),
        *(lambda f: list(folder_samples(f)), (m.bytes_changed,), _write_pictures),
    ),
    Target("prompts", "prompts.txt", lambda f: ["a cat\n\n ein Löwe\r\nx".encode()], _prompts),
    Target("PIE-Bench", piebench.MAPPING, _pie, _read_pie, BOTH, _write_pie),
    Target(
        *("drag, prompt.json", "prompt.json"),
        lambda f: [m.as_json({"prompt": "a", "source": [[1, 2]], "target": [[3.5, 4]]})],
        *(lambda f: dragbench.load_item(f), BOTH, _write_drag("origin_image.png")),
    ),
    Target(
        *("drag, drag_instruction.json", "drag_instruction.json"),
        lambda f: [m.as_json({"prompt": "a", "points": [[1, 2], [3.5, 4]]})],
        *(lambda f: dragbench.load_item(f), BOTH, _write_drag("original_image.png")),
    ),
    Target("task", "task.yaml", _tasks, _read_task, BOTH),
)
"""Readers of pictures, words and tables."""
