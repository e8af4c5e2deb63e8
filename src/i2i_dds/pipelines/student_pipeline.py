"""A trained student as a diffusers pipeline, in a folder that diffusers reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    DiffusionPipeline,
    ImagePipelineOutput,
    ModelMixin,
)
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from PIL import Image
from torch import Tensor, nn

from i2i_dds.checks import as_list, choice, number, require
from i2i_dds.errors import UserError
from i2i_dds.pipelines.student import Student
from i2i_dds.runs import write_text
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.latent_scale import scale_latents, unscale_latents

_CODE_FILE = "pipeline.py"
_CODE = "from i2i_dds import StudentPipeline as StudentPipeline\n"


class TaskConditions(ModelMixin, ConfigMixin):
    """The embedding of each task's instruction, for a student that reads text.

    Args:
        shape: Of all of them, (tasks, tokens, width).
    """

    config_name = "config.json"

    @register_to_config
    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(torch.zeros(*shape), requires_grad=False)


class StudentPipeline(DiffusionPipeline):
    """Edits pictures in one pass; called as diffusers' image-to-image pipelines are.

    ::

        StudentPipeline.from_student(Student.from_pretrained("outputs/train/<run>")).save_pretrained("lions")
        pipe = StudentPipeline.from_pretrained("lions")
        pipe("cat2lion", picture).images[0]

    ``scripts/export.py formats=diffusers`` writes such a folder too. What is diffusers' own stays:
    ``to``, ``save_pretrained``, ``push_to_hub``, ``torch_dtype`` and the rest.

    Args:
        vae: The teacher's autoencoder.
        student: The network.
        conditions: What a student that reads text is told for each task; else None.
    """

    model_cpu_offload_seq = "vae->student"
    _optional_components = ["conditions"]  # noqa: RUF012 (as diffusers declares it)

    vae: AutoencoderKL | AutoencoderKLFlux2
    student: EditUNet
    conditions: TaskConditions | None

    def __init__(
        self,
        vae: AutoencoderKL | AutoencoderKLFlux2,
        student: EditUNet,
        conditions: TaskConditions | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(vae=vae, student=student, conditions=conditions)
        self.vae_scale_factor = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)

    @classmethod
    @torch.no_grad()
    def from_student(cls, student: Student) -> StudentPipeline:
        """The pipeline of a student; they share their networks."""
        network, teacher = student.network, student.teacher
        conditions = None
        if network.conditioning == "text":
            embedded = network.condition(teacher, range(len(network.tasks))).float()
            conditions = TaskConditions(list(embedded.shape))
            conditions.embeddings.copy_(embedded)
        return cls(teacher.vae, network, conditions)  # type: ignore[attr-defined]

    def save_pretrained(  # type: ignore[override] (diffusers names each option)
        self, save_directory: str | os.PathLike[str], **options: Any
    ) -> None:
        """As diffusers does, and a file of code that tells ``DiffusionPipeline`` of this class.

        Given the folder as ``custom_pipeline`` too, ``DiffusionPipeline.from_pretrained`` loads it.

        Args:
            save_directory: The folder.
            **options: Diffusers' own, such as ``push_to_hub`` and ``repo_id``.
        """
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        write_text(Path(save_directory) / _CODE_FILE, _CODE)  # first, for what is pushed from there
        super().save_pretrained(save_directory, **options)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        image: PipelineImageInput = None,  # type: ignore[assignment]
        strength: float = 1.0,
        output_type: str = "pil",
        return_dict: bool = True,
        prompt_embeds: Tensor | None = None,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Edits one picture or several.

        There are no steps, no guidance and no noise: one pass is all, and the same every time.

        Args:
            prompt: A task's name or its instruction, for all pictures or one for each. May be left
                out where the student knows one task only.
            image: Pictures as diffusers takes them. Sides that the autoencoder does not allow are
                scaled to the next smaller ones, and PIL's pictures back again.
            strength: In [0, 1], of the student's change of the latents; 1 is what it learned.
            output_type: "pil", "np", "pt" in [0, 1], or "latent".
            return_dict: Whether an ``ImagePipelineOutput`` is returned, or a tuple.
            prompt_embeds: In place of a prompt, what a student that reads text is told in other
                words than its tasks', (L, D) for all pictures or (B, L, D): the teacher's
                ``embed(["make it a fox"]).embeddings``.

        Raises:
            UserError: An argument is not allowed; the message names it.
        """
        require("strength", strength, number(min=0, max=1))
        require("output_type", output_type, choice("pil", "np", "pt", "latent"))
        if image is None:
            raise UserError("image: none is given; give a picture, or a list of them")
        x = self.image_processor.preprocess(image)
        z_src = self._encode(x.to(self.vae.device, self.vae.dtype))
        if prompt_embeds is None:
            condition = self._condition(self._tasks(prompt, len(x)))
        else:
            condition = self._embeds(prompt, prompt_embeds, len(x))
        z = self.student(z_src, condition)
        z = z_src + strength * (z - z_src)
        images: Any = z
        if output_type != "latent":
            images = self.image_processor.postprocess(self._decode(z), output_type)
        if output_type == "pil":
            images = _in_their_sizes(images, image)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _tasks(self, prompt: str | Sequence[str] | None, n: int) -> list[int]:
        tasks = self.student.tasks
        known = ", ".join(tasks.names)
        if prompt is None and len(tasks) > 1:
            raise UserError(f"prompt: none is given; this student knows {known}; give one of them")
        told = [tasks.names[0]] if prompt is None else as_list(prompt)
        if len(told) not in (1, n):
            raise UserError(f"prompt: {len(told)} for {n} pictures; give one, or one for each")
        numbers = {one.instruction: i for i, one in enumerate(tasks)}
        numbers |= {name: i for i, name in enumerate(tasks.names)}
        for one in told:
            if one not in numbers:
                raise UserError(
                    f"prompt: {one!r} is no task of this student; it knows {known}, by these names "
                    "or their instructions"
                )
        return [numbers[one] for one in told] * (n // len(told))

    def _embeds(self, prompt: Any, embeds: Tensor, n: int) -> Tensor:
        if self.conditions is None:
            raise UserError("prompt_embeds: this student reads no text; give a task as prompt")
        if prompt is not None:
            raise UserError("prompt_embeds: goes in place of a prompt; leave one of them out")
        known = tuple(self.conditions.embeddings.shape[1:])
        batched = embeds[None] if embeds.ndim == 2 else embeds
        if tuple(batched.shape[1:]) != known or len(batched) not in (1, n):
            raise UserError(
                f"prompt_embeds: {tuple(embeds.shape)} is not allowed; give {known}, or "
                f"{(n, *known)} for one of each picture"
            )
        return batched.to(self.student.device, self.student.dtype).expand(n, -1, -1)

    def _condition(self, tasks: list[int]) -> Tensor:
        numbers = torch.tensor(tasks, device=self.student.device)
        return numbers if self.conditions is None else self.conditions.embeddings[numbers]

    def _encode(self, x: Tensor) -> Tensor:
        return scale_latents(self.vae, self.vae.encode(x).latent_dist.mean)  # type: ignore[union-attr]

    def _decode(self, z: Tensor) -> Tensor:
        unscaled = unscale_latents(self.vae, z.to(self.vae.dtype))
        return self.vae.decode(unscaled).sample  # type: ignore[union-attr]


def _in_their_sizes(edited: list[Image.Image], given: Any) -> list[Image.Image]:
    sizes = [one.size if isinstance(one, Image.Image) else None for one in as_list(given)]
    if len(sizes) != len(edited):
        return edited
    return [
        picture if size in (None, picture.size) else picture.resize(size, Image.Resampling.LANCZOS)
        for picture, size in zip(edited, sizes, strict=True)
    ]
