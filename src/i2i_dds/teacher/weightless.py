"""Teachers of true shape without a checkpoint's weights.

On PyTorch's meta device, which knows shapes alone, they have none; on another, random ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from i2i_dds.errors import UserError
from i2i_dds.reading import read_object
from i2i_dds.teacher.checkpoint import Checkpoint
from i2i_dds.teacher.families import families, pipeline_in
from i2i_dds.teacher.folders import index_of, locate
from i2i_dds.teacher.loading import ATTENTION
from i2i_dds.teacher.shipped_configs import SHIPPED
from i2i_dds.teacher.single_file import is_weights_file, layout_of

_META = torch.device("meta")
_CONFIGS = {"sd15": "sd15", "sd21": "sd21", "sdxl": "sdxl", "sd35": "sd35_medium"}
"""``teacher=`` -> the config that ships for it."""


@dataclass(frozen=True)
class WeightlessCheckpoint(Checkpoint):
    """A checkpoint whose networks are built from their configs.

    Attributes:
        device: Where they are built.
    """

    device: torch.device = _META

    def network(self, kind: Any, part: str) -> Any:
        """The network of a class in a part, as it is before training."""
        config = read_object(Path(self.source, part, "config.json"), "path", "a whole folder")
        with self.device:
            if PreTrainedModel in kind.__mro__:
                settings = kind.config_class(**config, attn_implementation=ATTENTION)
                return kind(settings).to(self.dtype)
            return nn.Module.to(kind.from_config(config), self.dtype)  # without a warning


def weightless_teacher(
    choice: str,
    path: str | None,
    dtype: torch.dtype,
    config: str | None = None,
    device: torch.device = _META,
    **options: Any,
) -> Any:
    """A teacher of random weights, or on the meta device of none, by configs of a checkpoint.

    Where the checkpoint is not here, those that ship are taken.

    Args:
        choice: What ``teacher=`` takes; the checkpoint's own family counts before it.
        path: A folder, a hub id (whose files are looked up in the local cache, and else the
            configs that ship), a single file, or None, for those that ship.
        dtype: The networks' type; float16 or float32 and so on.
        config: Of a single file: the name of a config that ships; None is the file's own.
        device: Where it is.
        **options: Of the family alone, such as ``t5``.

    Raises:
        UserError: There are no configs to be had.
    """
    if path is None:
        source = str(SHIPPED / _CONFIGS[choice]) if choice in _CONFIGS else None
    elif is_weights_file(path):
        layout = layout_of(path)
        choice, config = layout.choice, config or layout.config
        source = None if config is None else str(SHIPPED / config)
    else:
        found = index_of(locate(path), None, local_files_only=True)
        source = None if found is None else str(found.parent)
        if source is None and choice in _CONFIGS:
            source = str(SHIPPED / _CONFIGS[choice])
    if source is None or not Path(source).is_dir():
        raise UserError(
            f"path: the configs of '{path or choice}' are not here, and none ship for it; give a "
            "folder in diffusers' format, with weights or without"
        )
    pipeline = pipeline_in(Path(source) / "model_index.json")
    family = next(
        (one for one in families().values() if pipeline in one.pipelines), families()["sd15"]
    )
    kind, _, _ = family.target.rpartition(".")
    module, _, name = kind.rpartition(".")
    teacher = getattr(import_module(module), name)
    parts = teacher.read(WeightlessCheckpoint(source, dtype, device=device), **options)
    return teacher(**parts, device=device, dtype=dtype)
