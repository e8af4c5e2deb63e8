"""Handles of a drag: from pixels to latent cells, and their way in steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from i2i_dds.errors import UserError

Cell = tuple[int, int]
"""Column and row."""

PixelPairs = Sequence[tuple[tuple[float, float], tuple[float, float]]]
"""Handle and target of each pair, (x, y) in pixels."""


@dataclass(frozen=True)
class Move:
    """One square's way in one drag step.

    Attributes:
        start: Its center.
        end: Where its center goes; another cell than ``start``.
    """

    start: Cell
    end: Cell


def to_cells(
    points: PixelPairs, picture: tuple[int, int], latent: tuple[int, int]
) -> list[tuple[Cell, Cell]]:
    """The cells that pixels lie in, the only place where pixels become cells.

    Args:
        points: In the picture's pixels, each inside it; whole numbers name pixels, and what is
            between belongs to the pixel that it lies in.
        picture: Its (width, height).
        latent: (width, height) in cells.

    Returns:
        Handle and target of each pair, also of those that lie in one cell.
    """

    def cell(point: tuple[float, float]) -> Cell:
        column, row = (
            min(int((math.floor(p) + 0.5) * cells / pixels), cells - 1)
            for p, pixels, cells in zip(point, picture, latent, strict=True)
        )
        return column, row

    return [(cell(handle), cell(target)) for handle, target in points]


def collapsed(handles: Sequence[tuple[Cell, Cell]]) -> list[int]:
    """Numbers, from 0, of the pairs that would not move, handle and target being one cell.

    Raises:
        UserError: None would move.
    """
    still = [number for number, (start, end) in enumerate(handles) if start == end]
    if len(still) == len(handles):
        raise UserError(
            "points: no handle lies in another latent cell than its target; "
            "give targets farther away"
        )
    return still


def moves_in_order(
    handles: Sequence[tuple[Cell, Cell]], drag_step: float, sequential: bool = False
) -> list[tuple[Move, ...]]:
    """Splits drags into drag steps.

    There are K = 1 of them if the longest drag D is at most ``drag_step``, else as many as bring
    D / K nearest to it; handles go straight, through the cells nearest to their line.

    Args:
        handles: Handle and target cells.
        drag_step: In cells.
        sequential: One handle after another, each with its own K; else all at once.

    Returns:
        For each drag step what moves; a handle that stays in its cell for one is left out of it.
    """
    if sequential:
        return [moves for pair in handles for moves in moves_in_order([pair], drag_step)]
    longest = max(math.dist(start, end) for start, end in handles)
    count = _steps(longest, drag_step)
    steps = []
    for number in range(count):
        moves = (
            Move(
                start=_between(start, end, number / count),
                end=_between(start, end, (number + 1) / count),
            )
            for start, end in handles
        )
        steps.append(tuple(move for move in moves if move.start != move.end))
    return [moves for moves in steps if moves]


def window(
    move: Move, radius: int, size: Sequence[int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Rows and columns of a square at its start and at its end, both inside a (h, w) latent.

    What would lie outside at either place is left out at both, so that they are of one shape.
    """
    starts, ends = [], []
    for axis, cells in ((1, size[0]), (0, size[1])):
        start, end = move.start[axis], move.end[axis]
        before = min(radius, start, end)
        after = min(radius, cells - 1 - start, cells - 1 - end)
        starts.append(slice(start - before, start + after + 1))
        ends.append(slice(end - before, end + after + 1))
    return (starts[0], starts[1]), (ends[0], ends[1])


def _steps(distance: float, drag_step: float) -> int:
    if distance <= drag_step:
        return 1
    fewer = max(1, math.floor(distance / drag_step))
    return min((fewer, fewer + 1), key=lambda count: abs(distance / count - drag_step))


def _between(start: Cell, end: Cell, share: float) -> Cell:
    column, row = (math.floor(a + share * (b - a) + 0.5) for a, b in zip(start, end, strict=True))
    return column, row
