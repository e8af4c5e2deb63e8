"""What kinds of models there are, told by a checkpoint's ``model_index.json``.

Nothing heavy is imported here: the commands look before they compose their settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i_dds.errors import UserError
from i2i_dds.reading import read_object

INDEX = "model_index.json"

POCKETS = {"pocket": "teacher", "pocket_flow": "flow/teacher"}
"""Names of the shipped teachers, and where each lies in the folder of the pocket weights."""


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        teacher: The class that loads it, as ``module:name`` in ``i2i_dds.teacher``.
        choice: The file of ``conf/teacher`` with its presets, what ``teacher=`` takes.
        pipelines: Those of diffusers that may hold its networks: text to image comes first.
    """

    teacher: str
    choice: str
    pipelines: tuple[str, ...]


SD = Family(
    "stable_diffusion:StableDiffusionTeacher",
    "sd15",
    (
        *("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
        *("StableDiffusionInpaintPipeline", "StableDiffusionControlNetPipeline"),
        *("StableDiffusionPAGPipeline", "StableDiffusionSAGPipeline"),
        *("StableDiffusionPipelineSafe", "StableDiffusionDiffEditPipeline"),
        *("StableDiffusionPanoramaPipeline", "StableDiffusionAttendAndExcitePipeline"),
        "CycleDiffusionPipeline",
    ),
)
SDXL = Family(
    "stable_diffusion_xl:StableDiffusionXLTeacher",
    "sdxl",
    (
        *("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
        *("StableDiffusionXLInpaintPipeline", "StableDiffusionXLControlNetPipeline"),
        *("StableDiffusionXLPAGPipeline", "StableDiffusionXLAdapterPipeline"),
    ),
)
SD3 = Family(
    "stable_diffusion3:StableDiffusion3Teacher",
    "sd35",
    (
        *("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline"),
        *("StableDiffusion3InpaintPipeline", "StableDiffusion3ControlNetPipeline"),
        "StableDiffusion3PAGPipeline",
    ),
)
FLUX = Family(
    "flux:FluxTeacher",
    "flux",
    (
        *("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
        "FluxControlNetPipeline",
    ),
)
FAMILIES = (SD, SDXL, SD3, FLUX)


def family_of(pipeline: str, path: str) -> Family:
    """The family of a pipeline of diffusers.

    Args:
        pipeline: Its name.
        path: Where it was found, for the error.

    Raises:
        UserError: It is none that is supported.
    """
    for family in FAMILIES:
        if pipeline in family.pipelines:
            return family
    known = ", ".join(family.pipelines[0] for family in FAMILIES)
    raise UserError(f"path: '{path}' is a {pipeline:.60}; give one of {known}")


def check_family(pipeline: str, path: str, wanted: Family) -> None:
    """Refuses a checkpoint of another family than is wanted, and says which ``teacher=`` fits.

    Raises:
        UserError: It is one.
    """
    if pipeline in wanted.pipelines:
        return
    other = [family for family in FAMILIES if pipeline in family.pipelines]
    advice = f"give a {wanted.pipelines[0]}" + (f", or teacher={other[0].choice}" if other else "")
    raise UserError(f"path: '{path}' is a {pipeline:.60}; {advice}")


def pipeline_in(index: Path) -> str:
    """The name of the pipeline that a ``model_index.json`` describes.

    Raises:
        UserError: The file is damaged.
    """
    return str(read_index(index).get("_class_name"))


def read_index(index: Path) -> dict[str, Any]:
    """What a ``model_index.json`` says.

    Raises:
        UserError: The file is damaged.
    """
    return read_object(index, "path", "a whole folder")
