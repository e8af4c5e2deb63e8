"""A teacher of whichever family a checkpoint is."""

from __future__ import annotations

from typing import Any

from i2i_dds.teacher.families import families, family_of, pipeline_in
from i2i_dds.teacher.folders import index_of, locate
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.single_file import is_weights_file, layout_of


def load_teacher(path: str = "pocket", **options: Any) -> Teacher:
    """The teacher at ``path``, of the family that its ``model_index.json`` names.

    The family of a single file is told by its tensors.

    Args:
        path: "pocket", "pocket_flow", a folder in diffusers' format, a hub id, or a
            ``.safetensors`` file.
        **options: ``device``, ``dtype``, ``revision``, ``variant``, ``local_files_only``,
            ``presets``, ``config``, ``vae``, ``lora``; and those that the family's own
            ``load`` has.

    Raises:
        UserError: Nothing usable is there, or a model of a family that is not supported.
    """
    if is_weights_file(path):
        return families()[layout_of(path).choice].load(path, **options)
    source, revision = locate(path), options.get("revision")
    index = index_of(source, revision, local_files_only=True)
    if index is None and not options.get("local_files_only"):
        index = index_of(source, revision, local_files_only=False)
    # Where there is none to be had, a family's own loading says why.
    family = families()["sd15"] if index is None else family_of(pipeline_in(index), path)
    return family.load(path, **options)
