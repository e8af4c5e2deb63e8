import math

import pytest

from i2i_dds.editing.handles import Move, collapsed, moves_in_order, to_cells, window
from i2i_dds.errors import UserError


def test_every_pixel_lies_in_the_cell_that_covers_it():
    """A 64 x 48 picture of 16 x 12 cells: each cell is 4 x 4 pixels."""
    for x, y in ((0, 0), (3, 3), (3.99, 4), (4, 7.5), (63, 47), (63.9, 47.9)):
        expected = math.floor(x / 4), math.floor(y / 4)
        assert to_cells([((x, y), (0, 0))], (64, 48), (16, 12))[0][0] == expected
    # A picture scaled on its way to latents: the cell at the same place.
    assert to_cells([((500, 100), (999, 0))], (1000, 400), (50, 20)) == [((25, 5), (49, 0))]


def test_pairs_within_a_cell_are_reported():
    assert collapsed([((1, 1), (1, 1)), ((1, 1), (2, 1)), ((0, 3), (0, 3))]) == [0, 2]
    with pytest.raises(UserError, match="points: no handle lies in another latent cell"):
        collapsed([((1, 1), (1, 1))])


@pytest.mark.parametrize(
    ("distance", "steps"),
    # 5 / 2 = 2.5 and 5 / 3 = 1.67: 1.67 is nearer to 2 than 2.5 is
    [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4), (10, 5)],
)
def test_the_number_of_drag_steps_brings_each_nearest_to_two_cells(distance, steps):
    moves = moves_in_order([((0, 0), (distance, 0))], 2)
    assert len(moves) == steps
    assert moves[0][0].start == (0, 0) and moves[-1][0].end == (distance, 0)


def test_handles_move_together_in_a_line_from_step_to_step():
    moves = moves_in_order([((0, 8), (6, 2)), ((3, 3), (3, 4)), ((9, 9), (9, 9))], 3)
    diagonal = [next(move for move in step if move.start[0] != 3 or move.start[1] > 4) for step in
                moves]  # fmt: skip
    assert [move.end for move in diagonal] == [(2, 6), (4, 4), (6, 2)]
    assert all(a.end == b.start for a, b in zip(diagonal, diagonal[1:], strict=False))
    # One cell in three steps: it moves in one of them, and the pair that stays never.
    assert [len(step) for step in moves] == [1, 2, 1]
    assert moves[1][1] == Move((3, 3), (3, 4))


def test_in_sequence_each_handle_goes_the_whole_way():
    pairs = [((0, 0), (4, 0)), ((5, 5), (5, 6))]
    moves = moves_in_order(pairs, 2, sequential=True)
    assert moves == [
        (Move((0, 0), (2, 0)),),
        (Move((2, 0), (4, 0)),),
        (Move((5, 5), (5, 6)),),
    ]


def test_squares_reach_the_last_row_and_column_and_no_farther():
    start, end = window(Move((1, 5), (7, 6)), radius=2, size=(8, 8))
    # columns: one cell is left of 1, and none right of 7; rows: 2 above, one below 6
    assert start == (slice(3, 7), slice(0, 2))
    assert end == (slice(4, 8), slice(6, 8))
    whole, moved = window(Move((3, 3), (4, 4)), radius=2, size=(8, 8))
    assert whole == (slice(1, 6), slice(1, 6)) and moved == (slice(2, 7), slice(2, 7))
