"""Zero-shot DDS: one picture, many pictures, many targets of one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from i2i_dds.critters import SPECIES, render, scenes
from i2i_dds.data.images import to_tensor
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.errors import UserError
from i2i_dds.research.bench.plain import plain_dds
from i2i_dds.research.bench.timing import in_turn, share_of_peak
from i2i_dds.teacher.rows import SameRows

TOLERANCE = 1e-4
"""Largest difference of a latent's entry at which two ways count as the same: rounding, step
after step."""


@dataclass(frozen=True)
class Case:
    """Edits that both ways make.

    Attributes:
        z_src: (B, C, h, w).
        sources: Prompt of each.
        targets: Prompt of each.
        keys: Of each one's noise; that of a picture is the same for all its targets.
    """

    z_src: Tensor
    sources: Sequence[str]
    targets: Sequence[str]
    keys: Sequence[str]


def cases(teacher: Any, pictures: int, targets: int) -> dict[str, Case]:
    """The three rows of the table: cats towards lions, and one cat towards other species."""
    cats = scenes("val", pictures, species="cat")
    x = torch.stack([to_tensor(render(cat, teacher.native_size)) for cat in cats])
    z, names = teacher.encode(x), [f"cat{number}" for number in range(pictures)]
    others = [f"a {one}" for one in SPECIES if one != "cat"][:targets]
    cat, lion = ["a cat"] * pictures, ["a lion"] * pictures
    one = z[:1].expand(len(others), *z.shape[1:]).contiguous()
    return {
        "zero_shot_single": Case(z[:1], cat[:1], lion[:1], names[:1]),
        "zero_shot_batch": Case(z, cat, lion, names),
        "zero_shot_targets": Case(one, cat[:1] * len(others), others, names[:1] * len(others)),
    }


def compare(teacher: Any, case: Case, editor: LatentOptimization, rounds: int) -> dict[str, Any]:
    """One row: seconds an edit of both ways, their ratio, and how far their latents are apart.

    Raises:
        UserError: They are not the same to :data:`TOLERANCE`; no ratio is told then.
    """
    plain, ours = _plain(teacher, case, editor), _ours(teacher, case, editor)
    difference = (plain() - ours()).abs().max().item()
    if not difference <= TOLERANCE:
        raise UserError(f"bench: both ways differ by {difference:g}, more than {TOLERANCE:g}")
    seconds = in_turn([plain, ours], rounds)
    plain_s, ours_s = (one / len(case.keys) for one in seconds)
    numbers = {"ratio": plain_s / ours_s, "ours_s": ours_s, "plain_s": plain_s}
    return numbers | {"max_difference": difference}


def _plain(teacher: Any, case: Case, editor: LatentOptimization) -> Callable[[], Tensor]:
    settings: dict[str, Any] = {"steps": editor.steps, "lr": editor.lr}
    settings |= {"scale": editor.guidance_scale, "timesteps": editor.timesteps}

    def run() -> Tensor:
        done = []
        for z, source, target, key in zip(
            case.z_src, case.sources, case.targets, case.keys, strict=True
        ):
            (generator,) = item_generators(0, [key])
            done.append(plain_dds(teacher, z[None], (source, target), generator, **settings))
        return torch.cat(done)

    return run


def _ours(teacher: Any, case: Case, editor: LatentOptimization) -> Callable[[], Tensor]:
    def run() -> Tensor:
        sides = (teacher.embed(list(prompts)) for prompts in (case.sources, case.targets))
        text_src, text_tgt = sides
        generators = item_generators(0, list(case.keys))
        same = SameRows.of([*zip(case.keys, case.sources, strict=True)])
        batch = EditBatch(case.z_src, text_src, text_tgt, generators, same_source=same)
        return finish(editor(teacher, batch)).z

    return run


def teacher_shares(teacher: Any, rounds: int) -> dict[str, float]:
    """The share of the matrix product's rate that the network reaches, by rows of a batch."""
    shares = {}
    for rows in (1, 4, 32):
        z = torch.zeros(rows, teacher.latent_channels, *_cells(teacher))
        text, t = teacher.embed(["a cat"] * rows), torch.full((rows,), 500)
        with torch.no_grad():
            call = partial(teacher.predict_noise, z, t, text)
            shares[f"batch{rows}"] = share_of_peak(call, rounds)
    return shares


def _cells(teacher: Any) -> tuple[int, int]:
    side = teacher.native_size // teacher.vae_scale_factor
    return side, side
