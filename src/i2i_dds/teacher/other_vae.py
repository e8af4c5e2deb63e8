"""Another autoencoder in the place of a checkpoint's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError

from i2i_dds.checks import called
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded
from i2i_dds.teacher.loading import CONFIG, first_line, load_whole, refusing_damage
from i2i_dds.teacher.single_file import Layout, is_weights_file, shapes_in
from i2i_dds.teacher.single_weights import SingleFile

_PREFIXES = ("first_stage_model.", "vae.", "")
"""What the names of an autoencoder's tensors may begin with in a single file."""

_DECIDING = ("latent_channels", "scaling_factor", "shift_factor", "patch_size")


def load_other_vae(
    kind: Any,
    path: str,
    source: str,
    dtype: torch.dtype,
    where: dict[str, Any],
    local_files_only: bool = False,
) -> Any:
    """An autoencoder whose latents the checkpoint's network understands.

    Args:
        kind: Its class.
        path: Its folder, one with it in the folder ``vae``, a hub id, or a single file.
        source: Of the checkpoint, whose own ``vae/config.json`` it is compared with.
        dtype: Its type.
        where: Of a hub id of the checkpoint's.
        local_files_only: True never downloads.

    Raises:
        UserError: It is not there, is damaged, or its latents are others.
    """
    if is_weights_file(path):
        layout = Layout("vae", {"vae": _PREFIXES}, None)
        with called({"path": "vae"}):
            file = SingleFile(path, layout, tuple(shapes_in(path)))
            vae = file.network(kind, "vae", source, dtype, where)
    else:
        vae = _load(kind, path, dtype, local_files_only)
    with refusing_damage(f"path: vae of '{source}'"), init_empty_weights():
        own = kind.from_config(kind.load_config(source, subfolder="vae", **where)).config
    pairs = {name: (own.get(name), vae.config.get(name)) for name in _DECIDING}
    factors = [2 ** (len(config.block_out_channels) - 1) for config in (own, vae.config)]
    pairs["pixels per latent cell"] = (factors[0], factors[1])
    for what, (wanted, has) in pairs.items():
        if wanted != has:
            raise UserError(
                f"vae: '{path}' has {what} {has} and the teacher's own has {wanted}; "
                "give one that was made for the same family"
            )
    return vae


def _load(kind: Any, path: str, dtype: torch.dtype, local_files_only: bool) -> Any:
    folder = expanded(path)
    if not folder.is_dir() and path.count("/") != 1:
        raise UserError(f"vae: '{path}' is no folder; give one with an autoencoder, or a hub id")
    options: dict[str, Any] = {"torch_dtype": dtype, "local_files_only": True}
    if folder.is_dir():
        path = str(folder)
        options |= {} if (folder / CONFIG).is_file() else {"subfolder": "vae"}
    advice = "give a folder in diffusers' format, weights as safetensors"
    try:
        try:
            return load_whole(kind, path, f"vae: '{path}'", advice, **options)
        except OSError:
            if local_files_only or Path(path).is_dir():
                raise
            options |= {"local_files_only": False}
            return load_whole(kind, path, f"vae: '{path}'", advice, **options)
    except UserError:
        raise
    except (OSError, SafetensorError) as error:
        where = "" if Path(path).is_dir() else ", or run `hf download` where there is a network"
        raise UserError(
            f"vae: '{path}' cannot be read ({first_line(error)}); {advice}{where}"
        ) from error
