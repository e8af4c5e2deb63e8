"""New students: of a shape of their own, or started from the teacher's UNet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import yaml
from torch import nn

from i2i_dds.errors import UserError
from i2i_dds.runs import plain
from i2i_dds.student.origin import describe_teacher
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import TaskSet
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.presets import config_dir


def student_shapes() -> dict[str, dict[str, Any]]:
    """The UNets of ``conf/student/*.yaml`` by name: "small" for a CPU, "base" for a GPU."""
    files = sorted((config_dir() / "student").glob("*.yaml"))
    contents = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}

    def unet(name: str) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for base in contents[name].get("defaults", ()):
            merged |= unet(base) if base in contents else {}
        return merged | contents[name].get("unet", {})

    return {name: shape for name in contents if (shape := unet(name))}


def new_student(
    teacher: Teacher,
    tasks: TaskSet,
    unet: Mapping[str, Any],
    conditioning: str = "task",
    timestep: int = 0,
    seed: int = 0,
) -> EditUNet:
    """A student of a shape of its own, for the latents and texts of a teacher.

    Args:
        teacher: Whose latents it edits.
        tasks: What it shall learn.
        unet: Arguments of UNet2DConditionModel; the channels of the latents are filled in, and
            the text's width where conditioning is "text".
        conditioning: "task" or "text".
        timestep: See :class:`EditUNet`.
        seed: Of the weights; the global random state is left as it was.
    """
    channels = {"in_channels": teacher.latent_channels, "out_channels": teacher.latent_channels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return EditUNet(
            tasks=definitions(tasks),
            unet=plain({**unet, **channels}),
            conditioning=conditioning,
            text_width=_text_width(teacher) if conditioning == "text" else None,
            timestep=timestep,
            teacher=describe_teacher(
                teacher, tasks[0].instruction if conditioning == "text" else None
            ),
        )


def student_from_teacher(
    teacher: Teacher,
    tasks: TaskSet,
    conditioning: str = "task",
    timestep: int = 0,
    seed: int = 0,
) -> EditUNet:
    """A student that begins with the teacher's own weights, all but the last layer's, which are 0.

    The learned tokens of the tasks begin at the last token of each instruction, which the
    teacher's attention understands.

    Raises:
        UserError: The teacher has no UNet to copy, or one that is told more than prompts.
    """
    source = getattr(teacher, "unet", None)
    config: Mapping[str, Any] = getattr(source, "config", {})
    if not isinstance(source, nn.Module) or config.get("addition_embed_type"):
        raise UserError(
            f"student: teacher_init needs a teacher with a UNet that is told its prompts "
            f"alone, not a {type(teacher).__name__}; "
            "give student=small or student=base"
        )
    shape = {name: value for name, value in config.items() if not name.startswith("_")}
    student = new_student(teacher, tasks, shape, conditioning, timestep, seed)
    weights = {
        name: value
        for name, value in source.state_dict().items()
        if not name.startswith("conv_out.")
    }
    missing, unexpected = student.net.load_state_dict(weights, strict=False)
    assert set(missing) == {"conv_out.weight", "conv_out.bias"} and not unexpected
    if conditioning == "task":
        texts = teacher.embed([task.instruction for task in tasks]).embeddings
        with torch.no_grad():
            student.tokens.weight.copy_(texts[:, -1])
    return student


def definitions(tasks: TaskSet) -> list[dict[str, Any]]:
    """The tasks as a student's config holds them: plain values, none that is a default."""
    return [
        {
            item.name: plain(getattr(task, item.name))
            for item in dataclasses.fields(task)
            if getattr(task, item.name) not in (None, {}, "")
        }
        for task in tasks
    ]


def _text_width(teacher: Teacher) -> int:
    return int(teacher.embed([""]).embeddings.shape[-1])
