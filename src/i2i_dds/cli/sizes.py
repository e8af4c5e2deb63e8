"""How large the pictures are that a teacher is given."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.keys import build
from i2i_dds.data.datamodule import EditDataModule
from i2i_dds.data.sources import scene_size
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher


def data_module(cfg: DictConfig, teacher: Teacher, tasks: TaskSet) -> EditDataModule:
    """The data of the config's group ``data``, its pictures as large as the teacher wants them.

    Raises:
        UserError: It names a size that the teacher's autoencoder does not take.
    """
    size = scene_size(cfg.data.size, teacher, "data.size")
    return build(cfg, "data", tasks=tasks, size=size)


def side(value: Any) -> Any:
    """``size`` as a config has it, a list among others, in the form that pictures are fitted to."""
    return tuple(value) if OmegaConf.is_list(value) else value
