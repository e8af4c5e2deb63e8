"""From what a user asks for to the checkpoint that a family reads its parts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError

from i2i_dds.checks import called
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded
from i2i_dds.teacher.checkpoint import Checkpoint, Parts
from i2i_dds.teacher.families import INDEX, Family, check_family, families, pipeline_in
from i2i_dds.teacher.folders import read_checkpoint
from i2i_dds.teacher.loading import first_line
from i2i_dds.teacher.shipped_configs import SHIPPED, shipped_configs
from i2i_dds.teacher.single_file import is_weights_file
from i2i_dds.teacher.single_weights import SingleFile


@dataclass(frozen=True)
class Request:
    """What :meth:`LatentTeacher.load` is asked for.

    Attributes:
        path: A name of ``POCKETS``, a folder, a hub id, or a single file.
        family: Which it must be of.
        dtype: The networks' type.
        revision: Of a hub id.
        variant: Of the weights' files.
        local_files_only: True never downloads.
        config: Of a single file.
        vae: Another autoencoder than the checkpoint's own.
    """

    path: str
    family: Family
    dtype: torch.dtype
    revision: str | None = None
    variant: str | None = None
    local_files_only: bool | None = None
    config: str | None = None
    vae: str | None = None

    def checkpoint(self, source: str, cached: bool, file: SingleFile | None = None) -> Checkpoint:
        """What is asked for, at a folder or hub id, with the weights in a file or not."""
        return Checkpoint(
            source,
            self.dtype,
            revision=self.revision,
            variant=self.variant,
            cached=cached,
            file=file,
            vae=self.vae,
            local_files_only=bool(self.local_files_only),
        )


def read_teacher(request: Request, read: Callable[[Checkpoint], Parts]) -> Parts:
    """What ``read`` finds in the checkpoint that is asked for.

    Raises:
        UserError: Nothing usable is there, or another family.
    """
    if is_weights_file(request.path):
        return _read_file(request, read)
    if request.config is not None:
        raise UserError(
            f"config: {request.config!r} goes with a single file, and '{request.path}' is none; "
            "leave it out"
        )

    def read_folder(source: str, cached: bool) -> Parts:
        return read(request.checkpoint(source, cached))

    return read_checkpoint(
        request.path,
        request.family,
        request.revision,
        request.local_files_only,
        read_folder,
        request.variant,
    )


def _read_file(request: Request, read: Callable[[Checkpoint], Parts]) -> Parts:
    path = request.path
    for name in ("revision", "variant"):
        if (value := getattr(request, name)) is not None:
            raise UserError(f"{name}: {value!r} goes with a hub id or a folder; leave it out")
    file = SingleFile.open(path)
    if file.layout.choice != request.family.choice:
        check_family(families()[file.layout.choice].pipelines[0], path, request.family)
    config = _checked_config(request.config or file.layout.config, request)

    def read_beside(source: str, cached: bool) -> Parts:
        try:
            return read(request.checkpoint(source, cached, file))
        except (OSError, SafetensorError) as error:
            if not Path(source).is_dir():
                raise
            raise UserError(
                f"path: '{path}' is not complete ({first_line(error)}); give as config a folder "
                "in diffusers' format that has what it lacks"
            ) from error

    if config in shipped_configs():
        return read_beside(str(SHIPPED / config), True)
    return read_checkpoint(config, request.family, None, request.local_files_only, read_beside)


def _checked_config(config: str | None, request: Request) -> str:
    """The config, if it is one, and of the family that is wanted."""
    shipped = shipped_configs()
    if config is None:
        raise UserError(
            f"config: none ships for the model in '{request.path}'; give a folder in diffusers' "
            "format that has its configs and tokenizers, with weights or without"
        )
    folder = SHIPPED / config if config in shipped else expanded(config)
    if (folder / INDEX).is_file():
        with called({"path": "config"}):
            check_family(pipeline_in(folder / INDEX), config, request.family)
    elif folder.exists() or config.count("/") != 1:
        raise UserError(
            f"config: '{config}' is no folder in diffusers' format; give one, a hub id, or one of "
            + ", ".join(shipped)
        )
    return config
