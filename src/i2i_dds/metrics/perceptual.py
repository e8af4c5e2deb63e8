"""LPIPS, which needs torchvision and so an optional extra."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from i2i_dds.errors import UserError


@torch.no_grad()
def lpips_distance(x: Tensor, y: Tensor, net: str = "alex", key: str = "lpips") -> Tensor:
    """LPIPS (Zhang et al., CVPR 2018) of each item, at the pictures' own size.

    The weights come from torchvision's server at first use.

    Args:
        x: Pictures (B, 3, H, W) in [-1, 1].
        y: What they are compared with, the same shape.
        net: "alex", "squeeze" or "vgg".
        key: What to name in an error.

    Returns:
        (B,), 0 for equal pictures.

    Raises:
        UserError: The `lpips` extra is not installed.
    """
    try:
        model = _model(net, x.device)
    except ImportError as error:
        raise UserError(
            f"{key}: 'lpips' is not installed; pip install 'i2i-dds[lpips]', "
            "or use PSNR to the truth where it is known"
        ) from error
    return model(x.float(), y.float()).flatten()


@functools.cache
def _model(net: str, device: torch.device) -> Any:
    import lpips  # pyright: ignore[reportMissingImports]

    return lpips.LPIPS(net=net, verbose=False).to(device)
