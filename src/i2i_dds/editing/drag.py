"""SDE-Drag (Nie et al., ICLR 2024, section 4): copy and paste in noise, and let the SDE mend it.

A drag of many cells goes in drag steps of a few. In each, the latent is carried up along a
recorded path, the square round every handle is cut out and pasted one step nearer to its target,
and the result is carried down beside the path. Outside the mask it is the path at every timestep.

ODE-Drag, the paper's baseline, goes up by DDIM inversion and down by DDIM.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Generator, Tensor

from i2i_dds.checks import check_fields, checked, choice, integer, number
from i2i_dds.diffusion.guidance import LinearScale
from i2i_dds.diffusion.randomness import randn
from i2i_dds.editing.handles import Cell, Move, moves_in_order, window
from i2i_dds.editing.interface import EditBatch, EditStep
from i2i_dds.editing.sampling import ETA, edit_steps
from i2i_dds.editing.sde import Pairs, SamplerStep, cycle, denoise, forward_path, invert
from i2i_dds.teacher.interface import Teacher


@dataclass(frozen=True)
class Drag:
    """The settings of a drag; the defaults are the paper's, for latents of 64 x 64.

    Attributes:
        sampler: "cycle_sde", the paper's; "sde", which draws fresh noise on the way down; "ode".
        order: "simultaneous" moves all handles in every drag step, "sequential" one after another.
        steps: Of the whole way from noise to picture; ``strength * steps`` of them are taken.
        strength: How far up, in (0, 1].
        radius: Of the square, in cells: 2 radius + 1 is its side.
        alpha: What the square is multiplied with where it is pasted.
        beta: What is left of it where it was, in [0, 1]; the rest is fresh noise.
        drag_step: Cells that a handle goes in one drag step, as nearly as their number allows.
        guidance_scale: Scale of classifier-free guidance at t = 0.
        guidance_scale_end: Scale at the top; it is linear between.
    """

    sampler: str = checked(choice("cycle_sde", "sde", "ode"), default="cycle_sde")
    order: str = checked(choice("simultaneous", "sequential"), default="simultaneous")
    steps: int = checked(integer(min=1), default=200)
    strength: float = checked(number(above=0, max=1), default=0.6)
    radius: int = checked(integer(min=0), default=5)
    alpha: float = checked(number(above=0), default=1.1)
    beta: float = checked(number(min=0, max=1), default=0.3)
    drag_step: float = checked(number(above=0), default=2.0)
    guidance_scale: float = checked(number(min=0), default=1.0)
    guidance_scale_end: float = checked(number(min=0), default=3.0)

    def __post_init__(self) -> None:
        check_fields(self)

    def moves(self, handles: Sequence[tuple[Cell, Cell]]) -> list[tuple[Move, ...]]:
        """What each drag step moves; see :func:`i2i_dds.editing.handles.moves_in_order`."""
        return moves_in_order(handles, self.drag_step, self.order == "sequential")

    def __call__(
        self, teacher: Teacher, batch: EditBatch, handles: Sequence[tuple[Cell, Cell]]
    ) -> Iterator[EditStep]:
        """Drags a batch, all of it by the same handles.

        Args:
            teacher: Who answers.
            batch: Its target prompt says what the picture shows.
            handles: Where the picture is held and where to, in cells (column, row).

        Yields:
            One :class:`EditStep` a reverse step, ``len(pairs)`` of them a drag step.
        """
        pairs = teacher.process.pairs(self.steps, self.strength)
        drags, z = self.moves(handles), batch.z_src
        for done_before, moves in enumerate(drags):
            path = self._up(teacher, z, batch, pairs)
            y = copy_paste(path[0], moves, self, batch.generators)
            steps = edit_steps(batch, len(pairs), self._down(teacher, y, path, batch, pairs))
            for done in steps:
                z = done.z
                step = done_before * len(pairs) + done.step
                yield replace(done, step=step, steps=len(drags) * len(pairs))

    def _up(self, teacher: Teacher, z: Tensor, batch: EditBatch, pairs: Pairs) -> list[Tensor]:
        if self.sampler == "ode":
            return invert(teacher, z, batch.text_tgt, pairs)
        return forward_path(teacher.process, z, pairs, batch.generators)

    def _down(
        self, teacher: Teacher, y: Tensor, path: list[Tensor], batch: EditBatch, pairs: Pairs
    ) -> Iterator[SamplerStep]:
        scale = LinearScale(self.guidance_scale, self.guidance_scale_end, pairs[0][0])
        if self.sampler == "cycle_sde":
            return cycle(
                teacher,
                y=y,
                path=path,
                text_src=batch.text_tgt,
                text_tgt=batch.text_tgt,
                pairs=pairs,
                guidance_scale=scale,
                mask=batch.mask,
            )
        return denoise(
            teacher,
            y=y,
            text=batch.text_tgt,
            pairs=pairs,
            guidance_scale=scale,
            eta=ETA[self.sampler],
            generators=batch.generators,
            path=path,
            mask=batch.mask,
        )


def copy_paste(
    z_t: Tensor, moves: Sequence[Move], settings: Drag, generators: Sequence[Generator]
) -> Tensor:
    """Moves squares of a noisy latent.

    All squares are cut before any is changed; where one was, ``beta`` of it is left and noise fills
    it up to its size; then all are pasted, times ``alpha``. A square that reaches over the border
    is cut to what lies inside at both of its places.

    Args:
        z_t: Noisy latents, (B, C, h, w).
        moves: From which cell to which, (column, row).
        settings: radius, alpha, beta.
        generators: One an item.
    """
    size = z_t.shape[-2:]
    windows = [window(move, settings.radius, size) for move in moves]
    squares = [z_t[(..., *start)].clone() for start, _ in windows]
    moved = z_t.clone()
    left, noise = settings.beta, (1 - settings.beta**2) ** 0.5
    for square, (start, _) in zip(squares, windows, strict=True):
        fresh = randn(generators, square.shape[1:], square.dtype, square.device)
        moved[(..., *start)] = left * square + noise * fresh
    for square, (_, end) in zip(squares, windows, strict=True):
        moved[(..., *end)] = settings.alpha * square
    return moved
