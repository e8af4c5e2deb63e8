"""How large the pictures are that a teacher is given."""

from __future__ import annotations

from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from i2i_dds.data.datamodule import EditDataModule
from i2i_dds.errors import UserError
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher


def data_module(cfg: DictConfig, teacher: Teacher, tasks: TaskSet) -> EditDataModule:
    """The data of a config's group ``data``, its pictures as large as the teacher wants them.

    Raises:
        UserError: It names a size that the teacher's autoencoder does not take.
    """
    size = scene_size(cfg.size, teacher, "data.size")
    return instantiate(cfg, tasks=tasks, size=size)


def native_size(teacher: Teacher) -> int:
    """The side in pixels that the teacher was trained at; 64 where it does not say."""
    config = getattr(getattr(teacher, "unet", None), "config", None)
    cells = getattr(config, "sample_size", None)
    return cells * teacher.downscale if isinstance(cells, int) else 64


def scene_size(size: Any, teacher: Teacher, key: str = "size") -> int:
    """The side in pixels that scenes are drawn at: ``size``, or where that is None the native one.

    Raises:
        UserError: It is not one side that the teacher's autoencoder takes.
    """
    size = native_size(teacher) if size is None else size
    if not isinstance(size, int) or size % teacher.downscale:
        raise UserError(
            f"{key}: {side(size)} is not allowed; give one side, a multiple of {teacher.downscale}"
        )
    return size


def side(value: Any) -> Any:
    """``size`` as a config has it, a list among others, in the form that pictures are fitted to."""
    return tuple(value) if OmegaConf.is_list(value) else value
