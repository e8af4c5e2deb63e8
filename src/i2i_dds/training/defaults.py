"""What ``train.py`` trains with where nothing else is asked for, for training from Python.

A test holds these to ``conf/train.yaml``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from i2i_dds.diffusion.timesteps import TimestepSampler, UniformTimesteps
from i2i_dds.teacher.interface import Teacher
from i2i_dds.training.schedules import ScalarSchedule, cosine_warmup


def default_optimizer(teacher: Teacher) -> Any:
    """AdamW at the teacher's learning rate, to be called with a student's parameters."""
    lr = teacher.presets["train"]["lr"]
    return partial(torch.optim.AdamW, lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=None)


def default_scheduler() -> Any:
    """A linear rise, then half a cosine, to be called with the optimizer and the steps."""
    return partial(cosine_warmup, warmup=50, floor=0.05)


def default_guidance(teacher: Teacher) -> ScalarSchedule:
    """From 1 to the teacher's scale over the first 40 % of training (Hertz et al., section 5)."""
    return ScalarSchedule(1.0, teacher.presets["train"]["guidance_scale"], fraction=0.4)


def default_identity() -> ScalarSchedule:
    """The weight that holds the student at the source, falling to 0."""
    return ScalarSchedule(0.02, 0.0)


def default_timesteps(teacher: Teacher) -> TimestepSampler:
    """Uniform over the teacher's range."""
    presets = teacher.presets["train"]
    return UniformTimesteps(presets["t_min"], presets["t_max"])
