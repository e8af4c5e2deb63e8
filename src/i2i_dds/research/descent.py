"""Descents on the latent that differ in one thing, measured on their way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.errors import UserError
from i2i_dds.evaluation.held_out import EvalBatch, measured_names
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.gradient import guarded
from i2i_dds.scores.interface import Score, ScoreInput
from i2i_dds.teacher.interface import Teacher

PROMPTS = ("caption", "target", "empty", "another")
MEASURED_ON_THE_WAY = (
    *("drift", "gradient_norm", "delta_loss"),
    *("steps_taken", "steps_deviation", "nonfinite"),
)
PROBES = 19
"""Timesteps of the delta loss, as many as FlowEdit's appendix has (Kulikov et al., ICCV 2025)."""


def traced() -> tuple[str, ...]:
    """What :func:`trace` measures, beside the iteration."""
    return (*measured_names(), *MEASURED_ON_THE_WAY)


@dataclass(frozen=True)
class Variant:
    """A way to descend.

    Attributes:
        editor: With all its settings but the number of steps.
        source: What the source's prompt says: its "caption", nothing ("empty"), the caption of
            "another" scene, or the "target".
        target: The same of the target's prompt.

    Raises:
        UserError: No such prompt.
    """

    editor: LatentOptimization
    source: str = "caption"
    target: str = "target"

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            if getattr(self, name) not in PROMPTS:
                raise UserError(
                    f"{name}: {getattr(self, name)!r} is not allowed; "
                    f"give one of {', '.join(PROMPTS)}"
                )

    def batch(self, data: EvalBatch) -> EditBatch:
        """What is to be edited, with noise of the scenes' own."""
        generators = item_generators(data.seed, data.batch["key"])
        source, target = (data.embed(_prompts(kind, data)) for kind in (self.source, self.target))
        return EditBatch(data.z, source, target, generators)


@torch.no_grad()
def trace(
    variant: Variant, data: EvalBatch, at: Sequence[int], probe: bool = False
) -> Iterator[tuple[dict[str, float], Tensor]]:
    """Descends, and measures after some of the iterations.

    Args:
        variant: How.
        data: Where.
        at: The iterations to measure after, ascending; 0 is the untouched latent.
        probe: Also measures the delta loss.

    Yields:
        (numbers, latents) for each of `at`. Beside those of :meth:`Held.measures` the numbers are
        "iteration", "drift" (root mean square distance from the source's latent), "gradient_norm"
        (root mean square of the step's gradient over the items that took it), "delta_loss" (see
        :func:`delta_loss`, else NaN), "steps_taken" (mean over items: fewer than the iteration
        where a rule stopped them), "steps_deviation" (standard deviation over items) and
        "nonfinite" (gradient entries that were replaced by 0 so far).
    """
    batch, scale = variant.batch(data), variant.editor.guidance_scale if probe else None
    left, z = sorted(set(at)), data.z
    way = _Way(torch.zeros(len(z)))
    if left and left[0] == 0:
        yield _numbers(data, batch, z, left.pop(0), way, scale), z
    if left:
        editor = replace(variant.editor, steps=left[-1])
        for step in editor(data.teacher, batch):
            z, way = step.z, way.after(step)
            while left and left[0] == step.step + 1:
                yield _numbers(data, batch, z, left.pop(0), way, scale), z
    for count in left:  # every item had stopped before
        yield _numbers(data, batch, z, count, way, scale), z


@torch.no_grad()
def delta_loss(data: EvalBatch, batch: EditBatch, z: Tensor, guidance_scale: float) -> float:
    """Mean square of the DDS gradient on fixed timesteps and noise, what a descent is to lower.

    Args:
        data: The scenes.
        batch: Their prompts.
        z: Latents on the way, (B, C, h, w).
        guidance_scale: Scale of classifier-free guidance.
    """
    total, last = 0.0, len(data.teacher.process) - 1
    keys = [f"probe/{key}" for key in data.batch["key"]]
    generators = item_generators(data.seed, keys)
    for number in range(1, PROBES + 1):
        t = torch.full((len(z),), round(last * number / (PROBES + 1)))
        eps = randn(generators, z.shape[1:], z.dtype, z.device)
        inputs = ScoreInput(
            z_tgt=z,
            z_src=batch.z_src,
            text_tgt=batch.text_tgt,
            text_src=batch.text_src,
            t=t,
            eps=eps,
            guidance_scale=guidance_scale,
        )
        total += guarded(DDS()(data.teacher, inputs)).value.square().mean().item()
    return total / PROBES


@dataclass(frozen=True)
class UnsharedNoise:
    """A DDS whose two branches have noise of their own, which is what its delta must not have.

    The source's is the target's with every entry at another place (the axis across reversed, the
    channels rotated), so that at each place both are independent.

    Attributes:
        score: SDS; the source's is taken off the target's, noise included.
    """

    score: Score

    def __call__(self, teacher: Teacher, inputs: ScoreInput) -> Tensor:
        """SDS of the target less SDS of the source, (B, C, h, w)."""
        source = replace(
            inputs,
            z_tgt=inputs.z_src,
            text_tgt=inputs.text_src,
            eps=inputs.eps.flip(3).roll(1, 1),
        )
        return self.score(teacher, inputs) - self.score(teacher, source)


@dataclass(frozen=True)
class _Way:
    """How far a descent has come: the steps of each item, the last gradient, what was replaced."""

    taken: Tensor
    norm: float = float("nan")
    nonfinite: int = 0

    def after(self, step: EditStep) -> _Way:
        took = torch.ones(len(step.z)) if step.active is None else step.active.float().cpu()
        squares = step.gradient_norm.float().cpu().square() / step.z[0].numel()
        norm = ((squares * took).sum() / took.sum()).sqrt().item()
        return _Way(self.taken + took, norm, self.nonfinite + int(step.nonfinite))


def _numbers(
    data: EvalBatch, batch: EditBatch, z: Tensor, count: int, way: _Way, scale: float | None
) -> dict[str, float]:
    loss = float("nan") if scale is None else delta_loss(data, batch, z, scale)
    found: dict[str, Any] = {"iteration": count, **data.measures(z)}
    drift = (z - data.z).square().mean().sqrt().item()
    found |= {"drift": drift, "gradient_norm": way.norm, "delta_loss": loss}
    found |= {"steps_taken": way.taken.mean().item()}
    found |= {"steps_deviation": way.taken.std(correction=0).item()}
    found |= {"nonfinite": way.nonfinite}
    return found


def _prompts(kind: str, data: EvalBatch) -> list[str]:
    captions = list(data.batch["source"])
    return {
        "caption": captions,
        "target": list(data.batch["target"]),
        "empty": [""] * len(captions),
        "another": captions[1:] + captions[:1],
    }[kind]
