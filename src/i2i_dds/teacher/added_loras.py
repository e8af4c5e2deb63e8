"""LoRA weights that are made one with a teacher's own when it is loaded."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from i2i_dds.checks import number, require
from i2i_dds.errors import UserError
from i2i_dds.reading import expanded
from i2i_dds.teacher.loading import first_line, quiet_loading
from i2i_dds.teacher.single_file import shapes_in

_ADAPTER = "added"
_FILE = "pytorch_lora_weights.safetensors"
"""What diffusers calls it in a folder."""

_HALF = re.compile(r"lora_A|lora[._]down|lora_linear_layer\.down")
"""In the names of the first of the two matrices of each layer."""


def parse_lora(entry: str) -> tuple[str, float]:
    """A file and its scale, from ``path:scale``, or ``path`` alone, whose scale is 1.

    Raises:
        UserError: The scale is no finite number.
    """
    path, colon, scale = entry.rpartition(":")
    if not colon or "/" in scale or scale.endswith(".safetensors"):
        return entry, 1.0
    try:
        value = float(scale)
    except ValueError:
        value = float("nan")
    require("lora", value, number())
    return path, value


def add_loras(entries: Sequence[str], pipeline: str, network: Any, encoders: Sequence[Any]) -> None:
    """Adds LoRA weights to networks in place, one after the other, by diffusers' own loader.

    Nothing of the adapters is left on the networks. One of scale 0 is read, and changes no bit.

    Args:
        entries: Each as :func:`parse_lora` takes it.
        pipeline: Name of the family's pipeline in diffusers, which knows the formats.
        network: What predicts.
        encoders: The networks that read prompts, of which only CLIPs learn.

    Raises:
        UserError: A file is not there, is no LoRA, or is one of another family.
    """
    clips = [e for e in encoders if isinstance(e, CLIPTextModel | CLIPTextModelWithProjection)]
    learning = {"unet" if hasattr(network, "up_blocks") else "transformer": network}
    learning |= {f"text_encoder{f'_{i + 1}' if i else ''}": clip for i, clip in enumerate(clips)}
    for entry in entries:
        path, scale = parse_lora(entry)
        file = expanded(path)
        file = file / _FILE if file.is_dir() else file
        shapes_in(file, "lora")
        _add(file, scale, pipeline, learning)


def _add(file: Path, scale: float, pipeline: str, learning: dict[str, Any]) -> None:
    pipe = _pipeline(pipeline, learning)
    with _refusing_misfits(file, pipeline), quiet_loading():
        pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=_ADAPTER)
        state = pipe.lora_state_dict(str(file.parent), weight_name=file.name)
    weights = state[0] if isinstance(state, tuple) else state
    layers = sum(bool(_HALF.search(name)) for name in weights)
    fitting = sum(_adapted(network) for network in learning.values())
    if not layers or fitting != layers:
        raise UserError(
            f"lora: '{file}' has {layers} layers, of which {fitting} fit a {pipeline}; "
            "give a LoRA of the teacher's own family"
        )
    adapted = [name for name, network in learning.items() if _adapted(network)]
    with _refusing_misfits(file, pipeline), quiet_loading():
        if scale != 0:
            pipe.fuse_lora(adapted, lora_scale=scale, adapter_names=[_ADAPTER])
        pipe.unload_lora_weights()


@contextmanager
def _refusing_misfits(file: Path, pipeline: str) -> Iterator[None]:
    """Within it, what the libraries raise for names and shapes in the file ends in one sentence."""
    try:
        yield
    except Exception as error:  # any: whichever of diffusers, peft and transformers has
        raise UserError(
            f"lora: '{file}' does not fit a {pipeline} ({first_line(error):.200}); "
            "give a LoRA of the teacher's own family"
        ) from error


def _pipeline(name: str, learning: dict[str, Any]) -> Any:
    with quiet_loading():
        kind = getattr(diffusers, name)
        parts = inspect.signature(kind.__init__).parameters
        wanted = [part for part, one in parts.items() if one.default is inspect.Parameter.empty]
        return kind(**{part: learning.get(part) for part in wanted if part != "self"})


def _adapted(network: nn.Module) -> int:
    """Layers that the adapter is on."""
    return sum(name.endswith(f"lora_A.{_ADAPTER}.weight") for name, _ in network.named_parameters())
