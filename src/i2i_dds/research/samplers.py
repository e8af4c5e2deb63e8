"""SDE against ODE where the answer is known: inpainting and translation (Nie et al., ICLR 2024).

The paper's tables 1 and 2 on photographs, here on Critters: the same editors, many pictures at
once, and the numbers of each setting in a row.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from i2i_dds.data.edits import collate
from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.batches import EditItem, edit_items
from i2i_dds.editing.inpaint import Inpaint
from i2i_dds.editing.interface import Editor, EditStep
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.sdedit import SDEdit
from i2i_dds.evaluation.aggregate import mean
from i2i_dds.evaluation.measure import Evaluator
from i2i_dds.metrics.clip import Clip
from i2i_dds.metrics.image import psnr
from i2i_dds.teacher.interface import Teacher

OnStep = Callable[[EditStep], None]
SettingRow = dict[str, Any]
"""The numbers of one setting."""

_NOT_SHOWN = ("psnr_truth_source_recon", "sharpness_source")


@dataclass(frozen=True)
class Ran:
    """All pictures of one setting.

    Attributes:
        x: (N, 3, H, W) in [-1, 1], in the order of the items.
        seconds: For a picture.
        nfe: Function evaluations of the noise predictor for a picture.
    """

    x: Tensor
    seconds: float
    nfe: float


def run(
    editor: Editor,
    teacher: Teacher,
    items: Sequence[EditItem],
    seed: int,
    batch_size: int,
    on_step: OnStep | None = None,
    automask: AutoMask | None = None,
) -> Ran:
    """Edits items of one size with one editor."""
    before, n = teacher.nfe, len(items)
    done = list(edit_items(editor, teacher, items, seed, batch_size, 0, on_step, automask))
    seconds = math.fsum(edited.seconds * len(edited.items) for edited in done) / n
    x = torch.cat([edited.x for edited in done])
    return Ran(x, seconds, (teacher.nfe - before) / n)


def hole(name: str, ratio: float, side: int, cell: int) -> Tensor:
    """A square hole somewhere in a picture, (1, side, side) of 0 and 1; its place follows the name.

    Args:
        name: The picture's.
        ratio: Of the picture's area, up to whole cells.
        side: Of the picture in pixels.
        cell: Pixels of a latent cell's side; the hole's borders are those of cells.
    """
    cells = side // cell
    width = min(cells, max(1, round(math.sqrt(ratio) * cells)))
    mixed = hashlib.blake2b(f"hole/{name}".encode(), digest_size=8).digest()
    places = cells - width + 1
    row, column = mixed[0] % places, mixed[1] % places
    mask = torch.zeros(1, side, side)
    top, left = row * cell, column * cell
    mask[:, top : top + width * cell, left : left + width * cell] = 1
    return mask


def inpainting(
    teacher: Teacher,
    clip: Clip,
    scenes: Sequence[Mapping[str, Any]],
    settings: tuple[float, str, int],
    guidance_scale: float,
    seed: int,
    batch_size: int,
    on_step: OnStep | None = None,
) -> tuple[SettingRow, Tensor]:
    """One row of the inpainting table, and its pictures.

    Args:
        teacher: Who fills.
        clip: In whose features pictures are compared.
        scenes: With "key", "image" and "caption".
        settings: The hole's share of the picture, the sampler and its steps.
        guidance_scale: Scale of classifier-free guidance.
        seed: Of the noise; holes are the same for all samplers and steps.
        batch_size: Pictures at a time.
        on_step: Told of each step.
    """
    ratio, sampler, steps = settings
    items = [
        EditItem(
            name=scene["key"],
            key=scene["key"],
            x=scene["image"],
            source="",
            target=scene["caption"],
            mask=hole(scene["key"], ratio, scene["image"].shape[-1], teacher.vae_scale_factor),
        )
        for scene in scenes
    ]
    ran = run(Inpaint(sampler, steps, guidance_scale), teacher, items, seed, batch_size, on_step)
    row = {"ratio": ratio, "sampler": sampler, "steps": steps, "n": len(items)}
    return row | likeness(clip, ran.x, images(scenes)) | costs(ran), ran.x


def reconstruction(teacher: Teacher, clip: Clip, scenes: Sequence[Mapping[str, Any]]) -> SettingRow:
    """What the autoencoder alone costs: the best that any row of the inpainting table can reach."""
    x = images(scenes)
    recon = torch.cat([teacher.decode(teacher.encode(part)).cpu() for part in x.split(64)])
    row = {"ratio": 0.0, "sampler": "reconstruction", "steps": 0, "n": len(x)}
    return row | likeness(clip, recon, x)


def likeness(clip: Clip, x: Tensor, source: Tensor) -> SettingRow:
    """A set of pictures against the set that it should be like, and each against its own."""
    return {
        "fid": clip.frechet(x, source),
        "distance": clip.distance(x, source).mean().item(),
        "psnr": psnr(x, source).mean().item(),
    }


def translator(
    editor: str, sampler: str, steps: int, strength: float, guidance_scale: float
) -> Editor:
    """An editor by its name, sdedit or diffedit; the latter wants an automatic mask beside it."""
    if editor == "sdedit":
        return SDEdit(sampler, steps, strength, guidance_scale)
    return Inversion(sampler, steps, strength, guidance_scale)


def translation(
    evaluator: Evaluator,
    clip: Clip,
    scenes: Sequence[Mapping[str, Any]],
    editor: Editor,
    automask: AutoMask | None,
    seed: int,
    batch_size: int,
    on_step: OnStep | None = None,
) -> tuple[SettingRow, Tensor]:
    """One row of the translation table without its setting, and its pictures.

    Args:
        evaluator: With the tasks' teacher and judge.
        clip: In whose features pictures and prompts are compared.
        scenes: Of a held-out data set, with "truth" and "mask".
        editor: How.
        automask: Where; None is everywhere.
        seed: Of the noise.
        batch_size: Pictures at a time.
        on_step: Told of each step.
    """
    items = [
        EditItem(scene["key"], scene["key"], scene["image"], scene["source"], scene["target"])
        for scene in scenes
    ]
    ran = run(editor, evaluator.teacher, items, seed, batch_size, on_step, automask)
    rows = evaluator(collate(list(scenes)), ran.x, ran.seconds)
    targets, sources = ([item.target for item in items], [item.source for item in items])
    x_src, truth = images(scenes), torch.stack([scene["truth"] for scene in scenes])
    row: SettingRow = {"n": len(items)}
    for name in rows[0].values:
        if name not in _NOT_SHOWN:
            row[name] = mean(found[name] for found in rows)
    row["clip"] = clip.score(ran.x, targets).mean().item()
    row["clip_direction"] = clip.direction(ran.x, x_src, targets, sources).mean().item()
    row["fid"] = clip.frechet(ran.x, truth)
    row["distance"] = clip.distance(ran.x, x_src).mean().item()
    return row | costs(ran), ran.x


def images(scenes: Sequence[Mapping[str, Any]]) -> Tensor:
    """The scenes' pictures, (N, 3, H, W)."""
    return torch.stack([scene["image"] for scene in scenes])


def costs(ran: Ran) -> SettingRow:
    """What a picture took."""
    return {"seconds_per_image": ran.seconds, "evaluations_per_image": ran.nfe}
