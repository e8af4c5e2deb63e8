"""A student and its autoencoder as graphs that run without this package.

`torch.export` writes programs for PyTorch (``.pt2``), and ONNX files come of the same programs.
Sizes of pictures stay free, and those of batches up to 63.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from i2i_dds.errors import UserError
from i2i_dds.onnx_files import Run, missing_packages, open_onnx, quiet_export, write_onnx
from i2i_dds.runs import replacing, write_json
from i2i_dds.student.load import check_fits
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.latent_scale import scale_latents, unscale_latents

FORMATS = ("pt2", "onnx")
SETTINGS = "export.json"
CONDITIONS = "conditions.safetensors"

_SAMPLES = 2
"""Pictures of the batch that is traced; one alone would be taken for a constant."""


class _Part(NamedTuple):
    """A network on its way out, its inputs by name, and what its output is called."""

    network: nn.Module
    inputs: dict[str, Tensor]
    output: str


class _Coder(nn.Module):
    """An autoencoder with the scale of its latents."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae


class _Encoder(_Coder):
    """Pictures (B, 3, H, W) in [-1, 1] -> scaled latents (B, C, h, w)."""

    def forward(self, picture: Tensor) -> Tensor:
        return scale_latents(self.vae, self.vae.encode(picture).latent_dist.mean)


class _Decoder(_Coder):
    """Back again."""

    def forward(self, latents: Tensor) -> Tensor:
        return self.vae.decode(unscale_latents(self.vae, latents)).sample.clamp(-1, 1)


class _Student(nn.Module):
    """Source latents and a task -> edited latents."""

    def __init__(self, student: EditUNet) -> None:
        super().__init__()
        self.student = student

    def forward(self, latents: Tensor, task: Tensor) -> Tensor:
        return self.student(latents, task)


@torch.no_grad()
def export_student(
    student: EditUNet,
    teacher: Any,
    folder: str | Path,
    formats: Collection[str] = FORMATS,
    done: Callable[[str], None] = lambda name: None,
) -> dict[str, dict[str, float]]:
    """Writes encoder, student and decoder, each in every format, and how they are used.

    ``export.json`` has the tasks in their order, which is the number that the student takes. For a
    student that reads text ``conditions.safetensors`` has the embedding of each task's instruction.

    Args:
        student: In float32 on a CPU.
        teacher: The one it was trained with, likewise.
        folder: There is none yet of that name, or what it holds is written over.
        formats: Of :data:`FORMATS`.
        done: Told of each file when it is there.

    Returns:
        File -> largest differences from the network, of a batch of the size that was traced
        ("traced") and of another size ("other"). Latents are of order 1.

    Raises:
        UserError: The student is another teacher's, or the extra for ONNX is missing.
    """
    check_fits(student, teacher, "teacher")
    missing = missing_packages()
    if "onnx" in formats and missing:
        raise UserError(
            f"formats: onnx needs {', '.join(missing)}; pip install 'i2i-dds[export]', or give pt2"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, float]] = {}
    with quiet_export():
        for name, part in _parts(student.eval(), teacher).items():
            shapes = {
                one: {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO} if value.ndim == 4 else {0: Dim.AUTO}
                for one, value in part.inputs.items()
            }
            program = torch.export.export(
                part.network, (), dict(part.inputs), dynamic_shapes=shapes
            )
            for suffix in FORMATS:
                if suffix in formats:
                    path = folder / f"{name}.{suffix}"
                    run = _WRITERS[suffix](program, part, path)
                    found[path.name] = _differences(part, run)
                    done(path.name)
    settings: dict[str, Any] = {
        **{"tasks": list(student.tasks.names), "conditioning": student.conditioning},
        "latent_channels": student.latent_channels,
        "pixels_per_cell": teacher.vae_scale_factor,
        "differences": found,
    }
    if student.conditioning == "text":
        settings["conditions"] = CONDITIONS
        numbers = range(len(student.tasks))
        embedded = {
            name: student.condition(teacher, [number]).float().contiguous()
            for number, name in zip(numbers, student.tasks.names, strict=True)
        }
        with replacing(folder / CONDITIONS) as partial:
            save_file(embedded, partial)
    write_json(folder / SETTINGS, settings)
    return found


def _parts(student: EditUNet, teacher: Any) -> dict[str, _Part]:
    side = teacher.native_size
    cells = side // teacher.vae_scale_factor
    latents = torch.randn(_SAMPLES, student.latent_channels, cells, cells)
    task = student.condition(teacher, [0] * _SAMPLES)
    pictures = torch.rand(_SAMPLES, 3, side, side) * 2 - 1
    return {
        "encoder": _Part(_Encoder(teacher.vae), {"picture": pictures}, "latents"),
        "student": _Part(_Student(student), {"latents": latents, "task": task}, "edited"),
        "decoder": _Part(_Decoder(teacher.vae), {"latents": latents}, "picture"),
    }


def _write_program(program: ExportedProgram, part: _Part, path: Path) -> Run:
    """Writes it, reads it back, and returns what runs it."""
    with replacing(path) as partial:
        torch.export.save(program, partial)
    module = torch.export.load(path).module()
    return lambda inputs: module(**inputs)


def _write_onnx(program: ExportedProgram, part: _Part, path: Path) -> Run:
    """The same by ONNX, in one file with its weights."""
    with replacing(path) as partial:
        write_onnx(program, partial, list(part.inputs), part.output)
    return open_onnx(path)


_WRITERS: dict[str, Callable[[ExportedProgram, _Part, Path], Run]] = {
    "pt2": _write_program,
    "onnx": _write_onnx,
}


def _differences(part: _Part, run: Run) -> dict[str, float]:
    def largest(inputs: Mapping[str, Tensor]) -> float:
        return float((run(inputs) - part.network(**inputs)).abs().max())

    return {"traced": largest(part.inputs), "other": largest(_other(part.inputs))}


def _other(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One item, of half the height."""
    first = {name: value[:1] for name, value in inputs.items()}
    return {
        name: value[:, :, : value.shape[2] // 2].contiguous() if value.ndim == 4 else value
        for name, value in first.items()
    }
