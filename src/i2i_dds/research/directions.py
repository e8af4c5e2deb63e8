"""Directions of the teacher's gradients: which of them agree, and how long they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.evaluation.held_out import EvalBatch
from i2i_dds.research.descent import Variant
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.gradient import guarded
from i2i_dds.scores.interface import ScoreInput
from i2i_dds.scores.sds import SDS
from i2i_dds.teacher.conditioning import Conditioning

PAIRS = ("truth", "same picture, target prompt", "another scene", "same scene, other noise")
"""What the SDS direction of a matched pair is compared with."""


@torch.no_grad()
def cosines(
    data: EvalBatch, timesteps: Sequence[int], num_noise: int, guidance_scale: float
) -> Iterator[dict[str, Any]]:
    """How far SDS directions agree, over t.

    The direction of a picture with its own caption is what a perfect teacher would have as 0: the
    bias. It is compared, under the same t and noise, with that of

    - "truth": the ground truth with the target's prompt, a matched pair that is related to it;
    - "same picture, target prompt": what SDS would descend along, the bias and the edit;
    - "another scene": a matched pair that has nothing to do with it;
    - "same scene, other noise": itself, under another noise.

    Args:
        data: The scenes, at least 2.
        timesteps: To look at.
        num_noise: Noises to average over.
        guidance_scale: Scale of classifier-free guidance.

    Yields:
        A row for each t and pair: "t", "pair" and "cosine", the mean over scenes and noises.
    """
    source, target = data.embed(data.batch["source"]), data.embed(data.batch["target"])
    others = torch.arange(source.rows).roll(1)
    keys = [f"cosine/{key}" for key in data.batch["key"]]
    for t in timesteps:
        # The same noises at every t, so that the curve over t is not the noise's.
        generators = item_generators(data.seed, keys)
        found: dict[str, list[Tensor]] = {pair: [] for pair in PAIRS}
        for _ in range(num_noise):
            drawn = (data.z.shape[1:], data.z.dtype, data.z.device)
            eps, other = randn(generators, *drawn), randn(generators, *drawn)

            def sds(z: Tensor, text: Conditioning, eps: Tensor, t: int = t) -> Tensor:
                inputs = ScoreInput(
                    z_tgt=z,
                    z_src=z,
                    text_tgt=text,
                    text_src=text,
                    t=torch.full((len(z),), t),
                    eps=eps,
                    guidance_scale=guidance_scale,
                )
                return guarded(SDS()(data.teacher, inputs)).value

            bias = sds(data.z, source, eps)
            compared = {
                "truth": sds(data.z_truth, target, eps),
                "same picture, target prompt": sds(data.z, target, eps),
                "another scene": sds(data.z.roll(1, 0), source.take(others), eps),
                "same scene, other noise": sds(data.z, source, other),
            }
            for pair, direction in compared.items():
                found[pair].append(F.cosine_similarity(bias.flatten(1), direction.flatten(1)))
        for pair in PAIRS:
            yield {"t": t, "pair": pair, "cosine": torch.cat(found[pair]).mean().item()}


@torch.no_grad()
def norms(
    data: EvalBatch,
    editor: LatentOptimization,
    iterations: Sequence[int],
    timesteps: Sequence[int],
    num_noise: int,
) -> Iterator[dict[str, Any]]:
    """How long the DDS and SDS gradients are, over t and on the way of a DDS descent.

    Args:
        data: The scenes.
        editor: The descent.
        iterations: After which to look, ascending; 0 is the source.
        timesteps: To look at.
        num_noise: Noises to average each picture's squared length over.

    Yields:
        A row for each iteration, t and score: "norm", the mean over pictures of the root mean
        square of an entry, and "between", its standard deviation across pictures.
    """
    batch, points = Variant(editor).batch(data), dict.fromkeys(iterations, data.z)
    last = max(iterations)
    if last > 0:
        for step in LatentOptimization(**{**vars(editor), "steps": last})(data.teacher, batch):
            if step.step + 1 in points:
                points[step.step + 1] = step.z
    keys = [f"norms/{key}" for key in data.batch["key"]]
    for count, z in points.items():
        for t in timesteps:
            generators, times = item_generators(data.seed, keys), torch.full((len(z),), t)
            squares = {name: z.new_zeros(len(z)) for name in ("dds", "sds")}
            for _ in range(num_noise):
                eps = randn(generators, z.shape[1:], z.dtype, z.device)
                inputs = ScoreInput(
                    z_tgt=z,
                    z_src=data.z,
                    text_tgt=batch.text_tgt,
                    text_src=batch.text_src,
                    t=times,
                    eps=eps,
                    guidance_scale=editor.guidance_scale,
                )
                for name, score in (("dds", DDS()), ("sds", SDS())):
                    gradient = guarded(score(data.teacher, inputs)).value
                    squares[name] += gradient.flatten(1).square().mean(1) / num_noise
            for name, square in squares.items():
                root = square.sqrt()
                row = {"iteration": count, "t": t, "score": name, "norm": root.mean().item()}
                yield {**row, "between": root.std().item()}
