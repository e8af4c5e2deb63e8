"""Edit images, and train networks that do, with the Delta Denoising Score.

>>> from i2i_dds import EditPipeline, example_picture
>>> pipe = EditPipeline.from_pretrained("pocket")
>>> out = pipe(example_picture(), source="a cat", target="a lion", num_inference_steps=2)
>>> out.images[0].size
(64, 64)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from i2i_dds.critters import Scene, render
    from i2i_dds.data.datamodule import EditDataModule
    from i2i_dds.diffusion.process import Process, RectifiedFlow, VariancePreserving
    from i2i_dds.editing.automask import AutoMask
    from i2i_dds.editing.drag import Drag
    from i2i_dds.editing.inpaint import Inpaint
    from i2i_dds.editing.inversion import Inversion
    from i2i_dds.editing.latent_optimization import LatentOptimization
    from i2i_dds.editing.path_delta import PathDelta
    from i2i_dds.editing.sdedit import SDEdit
    from i2i_dds.errors import UserError
    from i2i_dds.evaluation.grid import grid
    from i2i_dds.evaluation.held_out import EvalBatch, held_out_scenes
    from i2i_dds.evaluation.tables import markdown_table
    from i2i_dds.pipelines.drag import DragOutput, DragPipeline
    from i2i_dds.pipelines.edit import EditPipeline
    from i2i_dds.pipelines.examples import example_picture
    from i2i_dds.pipelines.output import EditOutput
    from i2i_dds.pipelines.pictures import open_picture
    from i2i_dds.pipelines.student import Student
    from i2i_dds.pipelines.student_pipeline import StudentPipeline
    from i2i_dds.scores.cds import CDS
    from i2i_dds.scores.dds import DDS
    from i2i_dds.scores.ids import IDS
    from i2i_dds.scores.interface import Descent, Score, ScoreInput
    from i2i_dds.scores.lusd import LUSD
    from i2i_dds.scores.pds import PDS
    from i2i_dds.scores.sds import SDS
    from i2i_dds.scores.sds_l2 import SDSL2
    from i2i_dds.scores.ssd import SSD
    from i2i_dds.tasks import Task, TaskSet
    from i2i_dds.teacher.analytic import GaussianMixtureTeacher
    from i2i_dds.teacher.conditioning import Conditioning
    from i2i_dds.teacher.flux import FluxTeacher
    from i2i_dds.teacher.interface import Teacher
    from i2i_dds.teacher.load import load_teacher
    from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
    from i2i_dds.teacher.stable_diffusion3 import StableDiffusion3Teacher
    from i2i_dds.teacher.stable_diffusion_xl import StableDiffusionXLTeacher
    from i2i_dds.training.checkpoints import Checkpoints
    from i2i_dds.training.module import EditTraining

_HOMES = {
    "CDS": "scores.cds",
    "DDS": "scores.dds",
    "IDS": "scores.ids",
    "LUSD": "scores.lusd",
    "PDS": "scores.pds",
    "SDS": "scores.sds",
    "SSD": "scores.ssd",
    "AutoMask": "editing.automask",
    "Checkpoints": "training.checkpoints",
    "Conditioning": "teacher.conditioning",
    "Descent": "scores.interface",
    "Drag": "editing.drag",
    "DragOutput": "pipelines.drag",
    "DragPipeline": "pipelines.drag",
    "EditDataModule": "data.datamodule",
    "EditOutput": "pipelines.output",
    "EditPipeline": "pipelines.edit",
    "EditTraining": "training.module",
    "EvalBatch": "evaluation.held_out",
    "GaussianMixtureTeacher": "teacher.analytic",
    "Inpaint": "editing.inpaint",
    "Inversion": "editing.inversion",
    "LatentOptimization": "editing.latent_optimization",
    "Process": "diffusion.process",
    "RectifiedFlow": "diffusion.process",
    "SDEdit": "editing.sdedit",
    "SDSL2": "scores.sds_l2",
    "Scene": "critters",
    "Score": "scores.interface",
    "ScoreInput": "scores.interface",
    "PathDelta": "editing.path_delta",
    "FluxTeacher": "teacher.flux",
    "StableDiffusion3Teacher": "teacher.stable_diffusion3",
    "StableDiffusionXLTeacher": "teacher.stable_diffusion_xl",
    "StableDiffusionTeacher": "teacher.stable_diffusion",
    "Student": "pipelines.student",
    "StudentPipeline": "pipelines.student_pipeline",
    "Task": "tasks",
    "TaskSet": "tasks",
    "Teacher": "teacher.interface",
    "UserError": "errors",
    "VariancePreserving": "diffusion.process",
    "example_picture": "pipelines.examples",
    "grid": "evaluation.grid",
    "held_out_scenes": "evaluation.held_out",
    "load_teacher": "teacher.load",
    "markdown_table": "evaluation.tables",
    "open_picture": "pipelines.pictures",
    "render": "critters",
}

__all__ = [  # noqa: RUF022
    "CDS",
    "DDS",
    "IDS",
    "LUSD",
    "PDS",
    "SDS",
    "SSD",
    "AutoMask",
    "Checkpoints",
    "Conditioning",
    "Descent",
    "Drag",
    "DragOutput",
    "DragPipeline",
    "EditDataModule",
    "EditOutput",
    "EditPipeline",
    "EditTraining",
    "EvalBatch",
    "GaussianMixtureTeacher",
    "Inpaint",
    "Inversion",
    "LatentOptimization",
    "Process",
    "RectifiedFlow",
    "SDEdit",
    "SDSL2",
    "Scene",
    "Score",
    "ScoreInput",
    "PathDelta",
    "FluxTeacher",
    "StableDiffusion3Teacher",
    "StableDiffusionXLTeacher",
    "StableDiffusionTeacher",
    "Student",
    "StudentPipeline",
    "Task",
    "TaskSet",
    "Teacher",
    "UserError",
    "VariancePreserving",
    "__version__",
    "example_picture",
    "grid",
    "held_out_scenes",
    "load_teacher",
    "markdown_table",
    "open_picture",
    "render",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for, so that ``--help`` does not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i_dds' has no attribute {name!r}")
    value = getattr(import_module(f"i2i_dds.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
