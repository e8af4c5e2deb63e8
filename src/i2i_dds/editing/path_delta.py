"""Editing beside a noised source by deltas: FlowEdit, DRFS, Cycle-SDE, edit-friendly inversion.

At every step the source is noised to x_t, the teacher is asked about it and about the edit beside
it, and the edit moves by the difference (:mod:`i2i_dds.editing.delta_step`). What is left to choose
is where the noise comes from, and how far a step goes:

| method | noise | step |
|---|---|---|
| FlowEdit (Kulikov et al., ICCV 2025) | "fresh" | of the ODE, eta = 0 |
| DRFS (Beaudouin et al., arXiv 2509.05342, CVPR 2026) | "fresh" | shift growing from 0 to 1 |
| edit-friendly DDPM inversion (Huberman-Spiegelglas et al., CVPR 2024) | "fresh" | eta = 1 |
| Cycle-SDE (Nie et al., ICLR 2024) | "path" | of the SDE, eta = 1 |

Where it departs from what was published:

- Edit-friendly inversion draws its x_t once, before the first step. As each is looked at once, and
  is independent of the others, drawing them on the way is the same. Its code sets the solved noise
  of the last step to 0, whereby y ends at ``mean(y_t)``. Here it ends at ``z_src + mean(y_t) -
  mean(x_t)`` as at all other steps, so that a matched pair stays as it is.
- DRFS calls its edit an optimizer's; its plain gradient descent is the step here.

DDIM inversion is not among them: its way up asks the teacher, and its way down knows no source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from i2i_dds.checks import Rule, check_fields, checked, choice, flag, integer, number, optional
from i2i_dds.diffusion.randomness import randn
from i2i_dds.editing.delta_step import DeltaStep, learning_rates, sampler_step, shifted_step
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.editing.sampling import edit_steps, straight_path
from i2i_dds.editing.sde import Pairs, SamplerStep, cycle, denoise, forward_path, predict_pair
from i2i_dds.errors import UserError
from i2i_dds.teacher.interface import Teacher

_LR = ("flow", "hump")


@dataclass(frozen=True)
class PathDelta:
    """The path-delta editor. What it has by default is FlowEdit.

    Attributes:
        noise: "fresh", drawn at every step; "one" for all steps; "path", those of the forward SDE,
            recorded before the first step.
        steps: Of the whole way from noise to picture; ``strength * steps`` of them are taken.
        strength: How far up it begins, in (0, 1]; FlowEdit's n_max over its T.
        guidance_scale: Scale of classifier-free guidance of the target.
        guidance_scale_src: Of the source; None is the target's. Where both are equal, a matched
            pair stays as it is, to the bit.
        num_noise: Draws over which a step averages; FlowEdit's n_avg.
        eta: Of the sampler's steps, in [0, 1]: 0 is the ODE, 1 the SDE.
        shift: None takes the sampler's steps. A number in [0, 1] takes those of DRFS: 0 is DDS at
            descending t, and 1 without ``ramp`` FlowEdit.
        ramp: Whether the shift grows, as DRFS has it: ``shift k / steps`` at step k.
        lr: Of DRFS: "flow", "hump" or a number, see
            :func:`i2i_dds.editing.delta_step.learning_rates`.
        t_free: Over this share of the way, its last, the target goes on alone, as SDEdit does;
            FlowEdit's n_min over its T. Below ``strength``.
    """

    noise: str = checked(choice("fresh", "one", "path"), default="fresh")
    steps: int = checked(integer(min=1), default=50)
    strength: float = checked(number(above=0, max=1), default=0.66)
    guidance_scale: float = checked(number(min=0), default=13.5)
    guidance_scale_src: float | None = checked(optional(number(min=0)), default=3.5)
    num_noise: int = checked(integer(min=1), default=1)
    eta: float = checked(number(min=0, max=1), default=0.0)
    shift: float | None = checked(optional(number(min=0, max=1)), default=None)
    ramp: bool = checked(flag(), default=True)
    lr: float | str = checked(
        Rule(
            f"a number above 0, or one of {', '.join(_LR)}",
            lambda value: value in _LR or number(above=0).accepts(value),
            _LR,
        ),
        default="flow",
    )
    t_free: float = checked(number(min=0, below=1), default=0.0)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.noise == "path" and (self.num_noise != 1 or self.shift is not None or self.t_free):
            raise UserError(
                "noise: 'path' goes with num_noise=1, no shift and no t_free; give fresh"
            )
        if self.shift is not None and (self.eta or self.t_free):
            raise UserError(
                f"shift: {self.shift} takes no step of a sampler; give eta and t_free of 0, or null"
            )
        if self.t_free >= self.strength:
            raise UserError(
                f"t_free: {self.t_free} is not allowed; give less than strength, {self.strength}"
            )

    def __call__(self, teacher: Teacher, batch: EditBatch) -> Iterator[EditStep]:
        """Edits a batch, one step at a time."""
        pairs = teacher.process.pairs(self.steps, self.strength)
        run = self._beside_path if self.noise == "path" else self._beside_draws
        return edit_steps(batch, len(pairs), run(teacher, batch, pairs))

    def _beside_path(
        self, teacher: Teacher, batch: EditBatch, pairs: Pairs
    ) -> Iterator[SamplerStep]:
        """The loop that drags share: it carries y, which may begin off the path, and not y - x."""
        path = forward_path(teacher.process, batch.z_src, pairs, batch.generators)
        return cycle(
            teacher,
            y=path[0],
            path=path,
            text_src=batch.text_src,
            text_tgt=batch.text_tgt,
            pairs=pairs,
            guidance_scale=self.guidance_scale,
            guidance_scale_src=self.guidance_scale_src,
            eta=self.eta,
            mask=batch.mask,
            negative=batch.text_neg,
        )

    def _beside_draws(
        self, teacher: Teacher, batch: EditBatch, pairs: Pairs
    ) -> Iterator[SamplerStep]:
        z = batch.z_src
        mask = None if batch.mask is None else batch.mask.to(z)
        free = min(round(self.t_free * self.steps), len(pairs) - 1)
        noise, edit = self._draws(batch), torch.zeros_like(z)
        for number_of_step, step in enumerate(self._steps(teacher, pairs)[: len(pairs) - free]):
            if self.noise == "fresh" and number_of_step > 0:
                noise = self._draws(batch)
            offset = step.scale * edit
            t = step.coefficients.t
            found = [self._difference(teacher, batch, offset, t, eps) for eps in noise]
            delta = torch.stack(found).mean(0)
            clean = step.clean_keep * edit + step.clean_move * delta
            edit = step.keep * edit + step.move * delta
            if mask is not None:
                clean, edit = clean * mask, edit * mask
            yield SamplerStep(step.coefficients, z + edit, z + clean, delta)
        if free:
            yield from self._alone(teacher, batch, edit, pairs[-free:])

    def _alone(
        self, teacher: Teacher, batch: EditBatch, edit: Tensor, pairs: Pairs
    ) -> Iterator[SamplerStep]:
        """The last steps: the target alone, from the edit beside a source noised once more."""
        path = straight_path(teacher.process, batch.z_src, pairs, batch.generators)
        return denoise(
            teacher,
            y=path[0] + edit,
            text=batch.text_tgt,
            pairs=pairs,
            guidance_scale=self.guidance_scale,
            eta=self.eta,
            generators=batch.generators,
            path=path,
            mask=batch.mask,
            negative=batch.text_neg,
        )

    def _steps(self, teacher: Teacher, pairs: Pairs) -> list[DeltaStep]:
        process = teacher.process
        if self.shift is None:
            return [sampler_step(process, t, t_prev, self.eta) for t, t_prev in pairs]
        rates = learning_rates(process, self.steps, self.lr)
        skipped = self.steps - len(pairs)
        return [
            shifted_step(
                process, t, t_prev, self.shift * (k / self.steps if self.ramp else 1), rates[k]
            )
            for k, (t, t_prev) in enumerate(pairs, start=skipped)
        ]

    def _draws(self, batch: EditBatch) -> list[Tensor]:
        z = batch.z_src
        shape = (self.num_noise, *z.shape[1:])
        return list(randn(batch.generators, shape, z.dtype, z.device).unbind(1))

    def _difference(
        self, teacher: Teacher, batch: EditBatch, offset: Tensor, t: int, eps: Tensor
    ) -> Tensor:
        """``eps_hat(x_t + offset) - eps_hat(x_t)`` under one draw of noise, (B, C, h, w)."""
        x = teacher.process.mix(batch.z_src, eps, t)
        eps_y, eps_x = predict_pair(
            teacher,
            (x + offset, x),
            (batch.text_tgt, batch.text_src),
            t,
            self.guidance_scale,
            self.guidance_scale_src,
            batch.text_neg,
        )
        return eps_y - eps_x
