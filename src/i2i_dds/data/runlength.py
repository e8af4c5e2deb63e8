"""Masks as PIE-Bench writes them: start, length, start, length ... over the pixels row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from i2i_dds.errors import UserError

_WANTED = "a list of start, length, start, length ... in whole numbers from 0"


def decode_runs(runs: Any, size: tuple[int, int], argument: str = "mask") -> Image.Image:
    """Runs -> mask of mode L, 255 in the runs and 0 elsewhere.

    As `mask_decode` of PIE-Bench's `evaluation/evaluate.py` (github.com/cure-lab/PnPInversion)
    reads them: runs may overlap, and one that goes past the last pixel ends there.

    Args:
        runs: the flat list.
        size: (width, height) of the picture it belongs to.
        argument: what the caller calls them, or their place, for errors.

    Raises:
        UserError: no such list, or a run begins outside the picture.
    """
    if not isinstance(runs, list):
        raise UserError(f"{argument}: {runs!r:.60} is not allowed; give {_WANTED}")
    if len(runs) % 2:
        raise UserError(f"{argument}: {len(runs)} numbers; give a length after each start")
    for number in runs:
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise UserError(f"{argument}: {number!r:.60} is not allowed; give {_WANTED}")
    width, height = size
    flat = np.zeros(width * height, dtype=np.uint8)
    for start, length in zip(runs[::2], runs[1::2], strict=True):
        if start >= flat.size:
            raise UserError(
                f"{argument}: a run begins at {start!r:.60}, outside the picture; "
                f"give starts below {width} x {height} = {flat.size}"
            )
        flat[start : start + length] = 255
    return Image.fromarray(flat.reshape(height, width))


def encode_runs(mask: Image.Image) -> list[int]:
    """The runs of all that is not black in a mask of mode L, in order and apart."""
    inside = np.asarray(mask).ravel() > 0
    steps = np.diff(inside.astype(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return np.stack([starts, ends - starts], axis=1).ravel().tolist()


def bordered(mask: Image.Image) -> Image.Image:
    """The mask of mode L with its outermost rows and columns white.

    PIE-Bench's evaluation does so, because annotations err at the border.
    """
    array = np.array(mask)
    array[[0, -1], :] = array[:, [0, -1]] = 255
    return Image.fromarray(array)
