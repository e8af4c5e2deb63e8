"""What edits of photographs are measured by, for which there is no ground truth."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.interface import EditBatch
from i2i_dds.evaluation.metric import Measured, Metric, Networks
from i2i_dds.metrics.clip import Clip
from i2i_dds.metrics.image import psnr
from i2i_dds.metrics.perceptual import lpips_distance
from i2i_dds.metrics.structure import StructureDistance
from i2i_dds.teacher.interface import Teacher


def psnr_source(measured: Measured) -> Tensor:
    """The edit against the source's reconstruction, everywhere, dB."""
    return psnr(measured.x, measured.x_recon)


def clip_direction(measured: Measured) -> Tensor:
    """Cosine between the change of the picture and that of the prompt, by CLIP."""
    return measured.networks.clip.direction(
        measured.x, measured.x_src, measured.prompts, measured.prompts_src
    )


def structure_source(measured: Measured) -> Tensor:
    """Distance between the structures of edit and source; NaN without the network."""
    distance = measured.networks.structure
    return measured.unknown if distance is None else distance(measured.x, measured.x_src)


def lpips_source(measured: Measured) -> Tensor:
    """LPIPS to the source; NaN without the network."""
    distance = measured.networks.lpips
    return measured.unknown if distance is None else distance(measured.x, measured.x_src)


CLIP_DIRECTION = Metric(
    "clip_direction", "CLIP directional similarity", "", 3, True, clip_direction
)
STRUCTURE_SOURCE = Metric(
    "structure_source", "structure distance to the source", "", 4, False, structure_source
)
_PSNR_SOURCE = Metric("psnr_source", "PSNR to the source", "dB", 2, None, psnr_source)
_LPIPS_SOURCE = Metric("lpips_source", "LPIPS to the source", "", 3, False, lpips_source)

PHOTO_METRICS: dict[str, Metric[Measured]] = {
    metric.name: metric
    for metric in (_PSNR_SOURCE, CLIP_DIRECTION, _LPIPS_SOURCE, STRUCTURE_SOURCE)
}
"""Beside those of every edit, by name."""


@dataclass(frozen=True)
class Photographs:
    """Measures of photographs, and where an edit of one belongs.

    That place is found as DiffEdit does, from the teacher's answers to both prompts, once for each
    picture. Background PSNR is measured outside it, so it compares students on the same pictures
    and the same teacher alone.

    Attributes:
        networks: Those that are there; a metric without its own is left out.
        automask: Finds the place; None has the settings of the teacher's presets.
    """

    networks: Networks = field(default_factory=Networks)
    automask: AutoMask | None = None
    _masks: dict[tuple[str, str], Tensor] = field(default_factory=dict, repr=False)

    @property
    def metrics(self) -> list[Metric[Measured]]:
        """Those of :data:`PHOTO_METRICS` whose networks are there."""
        has = self.networks
        return [
            _PSNR_SOURCE,
            *([CLIP_DIRECTION] if has.clip is not None else []),
            *([_LPIPS_SOURCE] if has.lpips is not None else []),
            *([STRUCTURE_SOURCE] if has.structure is not None else []),
        ]

    @torch.no_grad()
    def masks(self, teacher: Teacher, batch: Mapping[str, Any]) -> Tensor:
        """1 where an edit belongs, (B, 1, H, W).

        Args:
            teacher: Is asked; the same in every call.
            batch: With "key", "image", "source" and "target".
        """
        names = list(zip(batch["key"], batch["target"], strict=True))
        new = [i for i, name in enumerate(names) if name not in self._masks]
        for i in new:  # one at a time: a mask does not depend on the company
            self._masks[names[i]] = self._find(teacher, batch, i)
        return torch.stack([self._masks[name] for name in names]).float()

    def _find(self, teacher: Teacher, batch: Mapping[str, Any], i: int) -> Tensor:
        find = self.automask or _automask(teacher)
        x = batch["image"][i : i + 1]
        item = EditBatch(
            teacher.encode(x.to(teacher.device)),
            teacher.embed([batch["source"][i]]),
            teacher.embed([batch["target"][i]]),
            item_generators(0, [f"automask/{batch['key'][i]}"]),
        )
        found = find(teacher, item).mask
        return interpolate(found.cpu().float(), x.shape[-2:], mode="nearest")[0].bool()


def _automask(teacher: Teacher) -> AutoMask:
    """With the teacher's threshold and scale, as far as it has some."""
    settings = {}
    for block, name in (("automask", "threshold"), ("train", "guidance_scale")):
        settings |= {k: v for k, v in teacher.presets.get(block, {}).items() if k == name}
    return AutoMask(**settings)


def load_photographs(
    clip: str | None = None, dino: str | None = None, lpips: str | None = None
) -> Photographs:
    """With the networks that are named.

    Args:
        clip: A CLIP's folder, or "pocket", which knows drawn pictures alone; None for none.
        dino: Folder or hub id of a DINO ViT, for the structure distance; None for none.
        lpips: "alex", "squeeze" or "vgg", from the extra of that name; None for none.

    Raises:
        UserError: One of them cannot be loaded.
    """
    return Photographs(_networks(clip, dino, lpips))


@functools.cache
def _networks(clip: str | None, dino: str | None, lpips: str | None) -> Networks:
    if lpips is not None:
        blank = torch.zeros(1, 3, 64, 64)
        lpips_distance(blank, blank, lpips)
    return Networks(
        clip=None if clip is None else Clip.load(clip),
        lpips=None if lpips is None else partial(lpips_distance, net=lpips),
        structure=None if dino is None else StructureDistance.load(dino, key="dino"),
    )
