"""A picture with what is said about it, as an editor takes it, and its way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from PIL import Image
from torch import Tensor

from i2i_dds.data.images import fit, fit_mask, to_tensor
from i2i_dds.editing.batches import EditItem
from i2i_dds.editing.sde import blend
from i2i_dds.errors import UserError
from i2i_dds.pipelines.pictures import Size, restore

MOST_EDITED_PIXELS = 2**24
"""Of one picture at the size it is edited at: 4096 x 4096, whose tensor has 200 MB."""


@dataclass(frozen=True)
class Words:
    """What is said about an edit, see :class:`i2i_dds.editing.batches.EditItem`."""

    source: str = ""
    target: str = ""
    negative: str = ""
    instruction: str = ""


@dataclass(frozen=True)
class PictureItem:
    """An item to edit, and what its result is made of.

    Attributes:
        item: At a size that the VAE takes.
        size: (width, height) of the result.
        held: The source and its mask at that size; None without a mask.
        scene: Of Critters, its entry in the data set, with its truth.
    """

    item: EditItem
    size: tuple[int, int]
    held: tuple[Image.Image, Image.Image] | None = None
    scene: Mapping[str, Any] | None = None

    def content(self) -> str:
        """Tells items apart by all that their results come from."""
        item, digest = self.item, blake2b(digest_size=16)
        words = [item.key, item.source, item.target, item.negative, item.instruction]
        digest.update(repr([words, tuple(item.x.shape), self.size]).encode())
        digest.update(item.x.numpy().tobytes())
        if item.mask is not None:
            digest.update(item.mask.numpy().tobytes())
        for image in self.held or ():
            digest.update(image.tobytes())
        return digest.hexdigest()

    def image(self, x: Tensor, editor: Any) -> Image.Image:
        """The result: an edit x (3, H, W) in [-1, 1] at its size, held by its mask.

        A mask that the editor leaves to the pixels is applied here, linearly where it is soft.
        Where it is black the result is the source, to the bit.
        """
        image = restore(x, self.size)
        if self.held is None or not _masks_pixels(editor):
            return image
        source, mask = self.held
        return Image.composite(image, source, mask)

    def composited(self, x: Tensor, editor: Any) -> Tensor:
        """The same edit as it is measured, at the size it was made at, (3, H, W)."""
        if self.item.mask is None or not _masks_pixels(editor):
            return x
        return blend(x, self.item.x, self.item.mask)


def _masks_pixels(editor: Any) -> bool:
    return bool(getattr(editor, "masks_pixels", False))


def prepare(
    name: str,
    key: str,
    picture: Image.Image,
    words: Words,
    mask: Image.Image | None,
    vae_scale_factor: int,
    size: Size = None,
    fit_mode: str = "auto",
) -> PictureItem:
    """One picture at a size that the VAE takes.

    Args:
        name: Unique in the call.
        key: Seeds its noise.
        picture: Any RGB picture.
        words: Its prompts.
        mask: Of the picture's size; an empty one holds nothing back.
        vae_scale_factor: Pixels along a latent cell's side.
        size: At which it is edited; None is its own, or the nearest that the VAE allows.
        fit_mode: "auto" resizes it and gives the result the picture's own size; "resize" and
            "crop" leave the result at the size it was edited at; "error" refuses to change it.

    Raises:
        UserError: A size that is no multiple, a needed change in mode "error", or nothing of the
            mask is left.
    """
    restored = fit_mode == "auto"
    mode = "resize" if restored else fit_mode
    fitted = fit(picture, vae_scale_factor, size, mode)
    if fitted.width * fitted.height > MOST_EDITED_PIXELS:
        raise UserError(
            f"size: {fitted.width}x{fitted.height} are more than "
            f"{MOST_EDITED_PIXELS / 1e6:.0f} megapixels to edit at once; give a smaller size"
        )
    held = small = None
    if mask is not None:
        whole = mask if mask.getbbox() else Image.new("L", mask.size, 255)
        small = fit_mask(whole, vae_scale_factor, size, mode)
        held = (picture, whole) if restored else (fitted, small)
    item = EditItem(
        name=name,
        key=key,
        x=to_tensor(fitted),
        mask=None if small is None else to_tensor(small),
        **vars(words),
    )
    return PictureItem(item, picture.size if restored else fitted.size, held)
