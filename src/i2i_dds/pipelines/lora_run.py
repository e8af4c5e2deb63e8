"""A LoRA on disk, and what the teacher has learned by it: the picture brought back from noise."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from i2i_dds.data.images import to_pil
from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.editing.interface import EditBatch, finish
from i2i_dds.editing.lora import LoraSettings, noise_error
from i2i_dds.editing.lora_cache import KeptLora
from i2i_dds.editing.lora_teacher import CosineScale, LoraTeacher
from i2i_dds.editing.sdedit import SDEdit
from i2i_dds.evaluation.grid import difference, grid
from i2i_dds.evaluation.summary import write_csv
from i2i_dds.metrics.image import psnr
from i2i_dds.runs import replacing, write_image, write_json
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

WEIGHTS = "pytorch_lora_weights.safetensors"
"""Where diffusers' ``load_lora_weights(folder)`` looks."""


@dataclass(frozen=True)
class LoraSubject:
    """What is learned: a picture (3, H, W) in [-1, 1], what it shows, and where it is from."""

    x: Tensor
    prompt: str
    file: str


@dataclass(frozen=True)
class LoraComparison:
    """The picture noised and brought back, (3, H, W) each, and what was measured.

    Attributes:
        plain: By the plain teacher.
        adapted: With the adapter on.
        numbers: For result.json.
    """

    plain: Tensor
    adapted: Tensor
    numbers: Mapping[str, Any]


def compare(
    teacher: StableDiffusionTeacher,
    subject: LoraSubject,
    kept: KeptLora,
    scale: CosineScale,
    *,
    draws: int,
    sample_steps: int,
    strength: float,
    seed: int,
) -> LoraComparison:
    """What the adapter has learned of its picture.

    Args:
        teacher: The plain one.
        subject: What was learned.
        kept: The adapter.
        scale: Of the adapter, on the way back.
        draws: Timesteps and noises that the noise's error is taken over.
        sample_steps: Of the whole way from noise to picture.
        strength: How far up the picture is noised.
        seed: Of that noise.
    """
    z, words = teacher.encode(subject.x[None]), teacher.embed([subject.prompt])

    def back(by: Teacher) -> Tensor:
        batch = EditBatch(z, words, words, item_generators(seed, ["lora-comparison"]))
        return by.decode(finish(SDEdit("ode", sample_steps, strength, 1.0)(by, batch)).z)[0].cpu()

    before, plain = noise_error(teacher, z, words, draws), back(teacher)
    with LoraTeacher(teacher, kept.file) as learned:
        after = noise_error(learned, z, words, draws)
        learned.scale = scale
        adapted = back(learned)
    numbers: dict[str, Any] = {"loss_before": before, "loss_after": after, "draws": draws}
    for name, x in (("psnr_without", plain), ("psnr_with", adapted)):
        numbers[name] = psnr(x[None], subject.x[None]).item()
    return LoraComparison(plain, adapted, numbers | {"evaluations": teacher.nfe})


def write_lora_run(
    folder: Path,
    subject: LoraSubject,
    kept: KeptLora,
    learned: LoraComparison,
    settings: LoraSettings,
    config: Mapping[str, Any],
) -> None:
    """Writes the weights, the losses, the comparison and result.json."""
    write_image(folder / "comparison.png", _picture(subject, learned))
    with replacing(folder / WEIGHTS) as partial:
        shutil.copyfile(kept.file, partial)
    lines = [{"step": step, "loss": loss} for step, loss in enumerate(kept.losses, 1)]
    write_csv(folder / "losses.csv", ["step", "loss"], lines)
    result: dict[str, Any] = {"file": subject.file, "prompt": subject.prompt, **learned.numbers}
    result |= {"seconds": kept.seconds, "reused": kept.reused, "kept": kept.file}
    result |= {"width": subject.x.shape[-1], "height": subject.x.shape[-2]}
    write_json(folder / "result.json", {**result, "settings": asdict(settings), "config": config})


def _picture(subject: LoraSubject, learned: LoraComparison) -> Image.Image:
    columns = {
        "picture": subject.x,
        "back without": learned.plain,
        "back with LoRA": learned.adapted,
        "error without": difference(learned.plain, subject.x),
        "error with LoRA": difference(learned.adapted, subject.x),
    }
    side = min(256, max(144, 2 * max(subject.x.shape[-2:])))
    cells = {name: [to_pil(x)] for name, x in columns.items()}
    return grid(cells, [subject.prompt or "(no prompt)"], side)
