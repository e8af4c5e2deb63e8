"""Pictures side by side: one row an item, one column a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

_GAP = 6
_LINE = 16
_INK, _PAPER = (40, 40, 40), (255, 255, 255)


def grid(
    columns: Mapping[str, Sequence[Image.Image]],
    captions: Sequence[str] | None = None,
    side: int = 144,
) -> Image.Image:
    """Draws a table of pictures.

    Args:
        columns: Header -> one picture an item; all of one length.
        captions: A line of text under each item.
        side: Width and height of a cell in pixels; a picture is scaled into it, sides in
            proportion, and a small one without smoothing.

    Returns:
        An RGB picture.
    """
    lengths = {len(pictures) for pictures in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"columns of different lengths: {sorted(lengths)}")
    rows = lengths.pop()
    height = side + _GAP + (0 if captions is None else _LINE)
    width = len(columns) * (side + _GAP) + _GAP
    sheet = Image.new("RGB", (width, _GAP + _LINE + rows * height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for column, (header, pictures) in enumerate(columns.items()):
        left = _GAP + column * (side + _GAP)
        draw.text((left, 3), _cut(header, font, side), _INK, font)
        for row, picture in enumerate(pictures):
            small = _into(picture, side)
            at = (side - small.width) // 2, (side - small.height) // 2
            sheet.paste(small, (left + at[0], _GAP + _LINE + row * height + at[1]))
    for row, caption in enumerate(captions or ()):
        top = _GAP + _LINE + row * height + side
        draw.text((_GAP, top + 1), _cut(caption, font, width - 2 * _GAP), _INK, font)
    return sheet


def difference(x: Tensor, y: Tensor) -> Tensor:
    """|x - y| of pictures (..., 3, H, W) in [-1, 1] as a picture: black where they are equal."""
    return (x - y).abs() - 1


def cells(mask: Tensor, size: Sequence[int]) -> Tensor:
    """A mask of latent cells (1, h, w) as one of pixels (1, *size), each cell a block."""
    return F.interpolate(mask[None].float().cpu(), tuple(size), mode="nearest")[0]


def _into(picture: Image.Image, side: int) -> Image.Image:
    small = max(picture.size) < side
    filter_ = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return ImageOps.contain(picture.convert("RGB"), (side, side), filter_)


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text on one line, its end left out where it is too long.

    What is measured is not much longer than what fits, however long the text is.
    """
    text = " ".join(text.split())
    fits, wide = 0, 16
    while wide < len(text) and font.getlength(text[:wide]) <= width:
        wide *= 2
    if wide >= len(text) and font.getlength(text) <= width:
        return text
    wide = min(wide, len(text))
    while wide - fits > 1:
        middle = (fits + wide) // 2
        if font.getlength(text[:middle] + "...") <= width:
            fits = middle
        else:
            wide = middle
    return text[:fits] + "..."
