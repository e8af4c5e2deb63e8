"""Editing with a frozen teacher, without any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Generator, Tensor

from i2i_dds.checks import as_list, called, integer, require
from i2i_dds.data.images import fit as fit_image
from i2i_dds.data.images import to_pil, to_tensor
from i2i_dds.editing.automask import AutoMask
from i2i_dds.editing.batches import edit_items
from i2i_dds.editing.interface import Editor, EditStep
from i2i_dds.errors import UserError
from i2i_dds.pipelines.calls import bar, check_call, collect, prepare_all
from i2i_dds.pipelines.editors import AS_ARGUMENTS, build_editor, check_guides
from i2i_dds.pipelines.output import EditOutput
from i2i_dds.pipelines.pictures import Picture, Size, open_picture
from i2i_dds.pipelines.prepared import Words
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.load import load_teacher

AUTO = "auto"


class EditPipeline:
    """Edits pictures towards a prompt.

    >>> from i2i_dds import EditPipeline, example_picture
    >>> pipe = EditPipeline.from_pretrained("pocket")
    >>> out = pipe(example_picture(), source="a cat", target="a lion", seed=0)
    >>> out.images[0].size
    (64, 64)

    Args:
        teacher: The frozen model; its presets are the defaults of every call.
    """

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    @classmethod
    def from_pretrained(cls, path: str = "pocket", **options: Any) -> EditPipeline:
        """A pipeline on a teacher from disk or the hub.

        Args:
            path: "pocket", "pocket_flow", a diffusers folder, or a hub id.
            **options: ``device``, ``dtype``, ``revision``, ``variant``, ``local_files_only``; see
                :func:`i2i_dds.teacher.load.load_teacher`.

        Raises:
            UserError: Nothing usable is there.
        """
        return cls(load_teacher(path, **options))

    def __call__(
        self,
        images: Picture | Sequence[Picture],
        *,
        target: str | Sequence[str] | Sequence[Sequence[str]],
        source: str | Sequence[str] = "",
        negative_prompt: str | Sequence[str] = "",
        editor: str | Editor = "zero_shot",
        mask: Picture | Sequence[Picture] | AutoMask | None = None,
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        strength: float | None = None,
        lr: float | None = None,
        score: Any = None,
        sampler: str | None = None,
        timesteps: str | None = None,
        size: Size = None,
        fit: str = "auto",
        seed: int = 0,
        generator: Generator | None = None,
        batch_size: int = 8,
        callback: Callable[[EditStep], None] | None = None,
        progress: bool = False,
    ) -> EditOutput:
        """Edits every picture towards every target.

        Args:
            images: One picture or a list, see :data:`i2i_dds.pipelines.pictures.Picture`.
            target: What they shall show: one text, or a list, and every picture is edited towards
                each; or a list of lists, which has for each picture its own.
            source: What they show: one for all, or one for each picture. May be empty.
            negative_prompt: What guidance leads away from, on the source's side as on the target's,
                so that a matched pair still has no delta: one for all, or one for each picture.
            editor: A name of :data:`i2i_dds.pipelines.editors.EDITORS`, or an editor.
            mask: Where to edit (white), one for all or one for each; one that is all black holds
                nothing back, and that is logged; "auto" has it found by
                DiffEdit's rule, an ``AutoMask`` with settings of your own. ``editor="diffedit"``
                without a mask finds it.
            guidance_scale: Of classifier-free guidance; None is the teacher's preset, as for all
                that follow.
            num_inference_steps: Steps of descent, or of the way from noise to picture.
            strength: How far up a sampler goes, in (0, 1].
            lr: Step of the descent.
            score: Of the descent: "dds", "sds", "sds_l2", "cds", "pds", "ids", "ssd", "lusd", or
                a score.
            sampler: "cycle_sde", "sde" or "ode".
            timesteps: Of the descent: "uniform", "descending", "stratified", "low_variance".
            size: At which pictures are edited; None is their own, or the nearest the VAE allows.
            fit: "auto" gives results the pictures' own size; "resize", "crop" and "error" as
                :func:`i2i_dds.data.images.fit` has them.
            seed: With a picture's file name (or place in the list) it makes the picture's noise.
            generator: Draws the seed instead.
            batch_size: Pictures a network call; results do not depend on it beyond rounding.
            callback: Told of each step.
            progress: Shows a bar on standard error.

        Raises:
            UserError: An argument is not allowed; the message names it.
        """
        check_call(size, fit, batch_size)
        require("seed", seed, integer(min=0))
        if generator is not None and not isinstance(generator, Generator):
            raise UserError(f"generator: {generator!r} is not allowed; give a torch.Generator")
        targets = _targets(target)
        settings: dict[str, Any] = {}
        asked = {
            "guidance_scale": guidance_scale,
            "num_inference_steps": num_inference_steps,
            "strength": strength,
            "lr": lr,
            "score": score,
            "sampler": sampler,
            "timesteps": timesteps,
        }
        if isinstance(editor, str):
            if editor == "diffedit" and mask is None:
                mask = AUTO
            chosen, settings = build_editor(editor, self.teacher.presets, **asked)
            settings = {"editor": editor, **settings, "presets": self.teacher.presets["source"]}
        else:
            given = [name for name, value in asked.items() if value is not None]
            if given:
                raise UserError(f"{given[0]}: an editor of your own has its own; give it there")
            chosen, settings = editor, {"editor": repr(editor)}
        automask = self._automask(mask, chosen)
        if generator is not None:
            seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        negatives = as_list(negative_prompt)
        check_guides(chosen, negatives)
        prepared = prepare_all(
            images,
            [[Words(target=words) for words in group] for group in targets],
            None if automask else mask,
            self.teacher.vae_scale_factor,
            size,
            fit,
            sources=as_list(source),
            negatives=negatives,
        )
        with bar(progress, len(prepared), callback) as on_step, called(AS_ARGUMENTS):
            done = list(
                edit_items(
                    chosen,
                    self.teacher,
                    [one.item for one in prepared],
                    seed,
                    batch_size,
                    on_step=on_step,
                    automask=automask,
                )
            )
        settings |= {"mask": _mask_words(mask, automask), "size": size, "fit": fit, "seed": seed}
        return collect(prepared, done, chosen, settings)

    def encode(self, image: Picture) -> Tensor:
        """A picture's latent, (1, C, h, w), on the CPU, at the nearest size the VAE allows."""
        fitted = fit_image(open_picture(image), self.teacher.vae_scale_factor, None, "resize")
        return self.teacher.encode(to_tensor(fitted)[None]).cpu()

    def decode(self, z: Tensor) -> list[Image.Image]:
        """Pictures of latents (B, C, h, w), such as a callback is shown on the way."""
        return [to_pil(x) for x in self.teacher.decode(z).cpu()]

    def _automask(self, mask: Any, editor: Any) -> AutoMask | None:
        if isinstance(mask, AutoMask):
            return mask
        if not (isinstance(mask, str) and mask == AUTO):
            return None
        if not hasattr(editor, "guidance_scale"):
            raise UserError("mask: 'auto' needs an editor with guidance; give an AutoMask")
        return AutoMask(
            threshold=self.teacher.presets["automask"]["threshold"],
            guidance_scale=editor.guidance_scale,
        )


def _targets(target: Any) -> list[list[str]]:
    """The targets of all pictures, or of each."""
    given = as_list(target)
    nested = given if given and all(isinstance(one, (list, tuple)) for one in given) else [given]
    for words in nested:
        if not words or not all(isinstance(one, str) and one.strip() for one in words):
            raise UserError(f"target: {target!r} is not allowed; give a text that is not empty")
    return [list(words) for words in nested]


def _mask_words(mask: Any, automask: AutoMask | None) -> str | None:
    """How the mask is written down."""
    if automask is not None:
        return f"{AUTO}, threshold {automask.threshold:g}"
    return None if mask is None else "given"
