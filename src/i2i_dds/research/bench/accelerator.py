"""What a device makes of the true shapes of public models, with random weights.

Nothing is compared with plain loops here, and nothing is downloaded: time and memory do not depend
on what the weights are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image

from i2i_dds.checks import as_list, check_fields, checked, choice, flag, integer, several, text
from i2i_dds.evaluation.tables import markdown_of_cells
from i2i_dds.pipelines.edit import EditPipeline
from i2i_dds.research.bench.machine import machine
from i2i_dds.research.bench.timing import flops_of, share_of_peak, synchronize
from i2i_dds.research.bench.training import our_training, training_batches
from i2i_dds.teacher.placement import resolve_device, resolve_dtype
from i2i_dds.teacher.weightless import weightless_teacher

PARTS = 3
"""Of each teacher: its network, an edit, a training."""

AIM_SHARE, AIM_ROWS = 0.4, 16
"""Of the matrix product's rate, from so many rows on; on an H100."""
AIM_EDIT = {"alone": 2.0, "batched": 1.2}
"""Seconds a picture of 200 steps with SD 1.5, likewise."""


@dataclass(frozen=True)
class AcceleratorSettings:
    """The sizes of one run.

    Attributes:
        teachers: Choices of ``teacher=``, of which each may have a folder with configs, as
            ``sd15:my/folder``.
        device: "cuda", "cpu" and so on.
        dtype: Of the teacher.
        rounds: Timed runs of which the median counts.
        rows: Sizes of a batch in which the network is asked.
        edit_steps: Of a zero-shot edit.
        edit_batch: Pictures of a batched edit.
        train_steps: Of a student's training.
        train_batch: Pictures of each of them.
        student: Its shape.
        compile: Whether the network is compiled.
    """

    teachers: str | Sequence[str] = checked(several(text()), default=("sd15", "sdxl", "sd35"))
    device: str = checked(text(), default="cuda")
    dtype: str = checked(choice("float16", "bfloat16", "float32"), default="bfloat16")
    rounds: int = checked(integer(min=1), default=5)
    rows: int | Sequence[int] = checked(several(integer(min=1)), default=(1, 4, 16, 32))
    edit_steps: int = checked(integer(min=1), default=200)
    edit_batch: int = checked(integer(min=1), default=16)
    train_steps: int = checked(integer(min=2), default=8)
    train_batch: int = checked(integer(min=1), default=4)
    student: str = checked(text(), default="base")
    compile: bool = checked(flag(), default=False)

    def __post_init__(self) -> None:
        check_fields(self)


def run_accelerator(settings: AcceleratorSettings, done: Callable[[str], None]) -> dict[str, Any]:
    """Every teacher of bench.json.

    Args:
        settings: The sizes.
        done: Told of each part when it is there.

    Raises:
        UserError: There is no such device, or no configs of a teacher.
    """
    device = resolve_device(settings.device)
    found: dict[str, Any] = {"machine": machine(device), "teachers": {}}
    for one in as_list(settings.teachers):
        choice_, _, folder = one.partition(":")
        dtype = resolve_dtype(settings.dtype, device)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            teacher = weightless_teacher(choice_, folder or None, dtype, device=device)
        parts: dict[str, Callable[[], Any]] = {
            "network": partial(_network, teacher, settings),
            "edit": partial(_edit, teacher, settings),
            "training": partial(_training, teacher, settings),
        }
        rows: dict[str, Any] = {"native_size": teacher.native_size}
        for name, measure in parts.items():
            _forget_peak(device)
            rows[name] = measure() | {"peak_bytes": _peak(device)}
            done(f"{choice_} {name}")
        found["teachers"][choice_] = rows
        del teacher, parts  # before the next one comes
    return found


def accelerator_table(found: Mapping[str, Any]) -> str:
    """The numbers in Markdown; aims are those of an H100."""
    evaluations, others = [], []
    for name, rows in found["teachers"].items():
        for count, one in rows["network"]["rows"].items():
            aim = AIM_SHARE if int(count) >= AIM_ROWS else None
            evaluations.append([name, count, one["per_second"], one["share_of_peak"], aim])
        edit, training = rows["edit"], rows["training"]
        aims = AIM_EDIT if name == "sd15" and edit["steps"] == 200 else {}
        memory = [_gib(rows[part]["peak_bytes"]) for part in ("network", "edit", "training")]
        others.append(
            [name, rows["native_size"], edit["alone_s"], aims.get("alone"), edit["batched_s"]]
            + [aims.get("batched"), training["images_per_second"], *memory]
        )
    headers = ["", "rows", "evaluations/s", "share of the matrix product's rate", "aim"]
    text_ = markdown_of_cells(headers, evaluations, align_right=True)
    headers = ["", "side, px", "edit alone, s", "aim", "edit in a batch, s a picture", "aim"]
    headers += ["training, pictures/s", "network, GiB", "edit, GiB", "training, GiB"]
    return text_ + "\n" + markdown_of_cells(headers, others, align_right=True)


@torch.no_grad()
def _network(teacher: Any, settings: AcceleratorSettings) -> dict[str, Any]:
    """Evaluations a second by rows, and the share of the machine's own rate."""
    side = teacher.native_size // teacher.vae_scale_factor
    calls: dict[int, Callable[[], Any]] = {}
    for rows in as_list(settings.rows):
        z = torch.randn(rows, teacher.latent_channels, side, side, device=teacher.device)
        t = torch.full((rows,), len(teacher.process) // 2, device=teacher.device)
        conditioning = teacher.embed(["a cat"] * rows)
        calls[rows] = partial(teacher.predict_noise, z, t, conditioning)
    flops = {rows: flops_of(call) for rows, call in calls.items()}
    compile_s = None
    if settings.compile:
        start = perf_counter()
        teacher.compile()
        for call in calls.values():
            for _ in range(3):  # the third compiles
                call()
        compile_s = perf_counter() - start
    found: dict[str, Any] = {}
    for rows, call in calls.items():
        share = share_of_peak(call, flops[rows], settings.rounds, teacher.device, teacher.dtype)
        seconds = _median_seconds(call, settings.rounds)
        found[str(rows)] = {
            **{"seconds": seconds, "per_second": rows / seconds, "flops": flops[rows]},
            "share_of_peak": share,
        }
    return {"rows": found, "compile_s": compile_s}


def _edit(teacher: Any, settings: AcceleratorSettings) -> dict[str, Any]:
    """Seconds a picture of a zero-shot edit, from picture to picture."""
    pipe, pictures = EditPipeline(teacher), _pictures(settings.edit_batch, teacher.native_size)

    def edit(some: Sequence[Any], steps: int) -> None:
        pipe(
            some, source="a cat", target="a lion", editor="zero_shot", batch_size=len(some),
            num_inference_steps=steps, timesteps="uniform",
        )  # fmt: skip

    found: dict[str, Any] = {"steps": settings.edit_steps, "batch": len(pictures)}
    for name, some in (("alone", pictures[:1]), ("batched", pictures)):
        edit(some, 2)  # warm-up
        start = perf_counter()
        edit(some, settings.edit_steps)
        synchronize()
        found[f"{name}_s"] = (perf_counter() - start) / len(some)
    return found


def _training(teacher: Any, settings: AcceleratorSettings) -> dict[str, Any]:
    """Pictures a second of a student's training, from the second step on."""
    precision = "bf16-mixed" if teacher.device.type == "cuda" else "32-true"
    train = partial(our_training, teacher, shape=settings.student, precision=precision)
    teacher.run_plain()
    many = training_batches(teacher, settings.train_steps, settings.train_batch)
    seconds = []
    for some in (many[:1], many[:1], many):  # a warm-up; what begins and ends; both and the rest
        start = perf_counter()
        train(some, 0)
        synchronize()
        seconds.append(perf_counter() - start)
    pictures = (len(many) - 1) * settings.train_batch
    return {
        "images_per_second": pictures / max(seconds[2] - seconds[1], 1e-9),
        **{"batch": settings.train_batch, "student": settings.student},
    }


def _pictures(count: int, side: int) -> list[Any]:
    drawn = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    return [Image.fromarray(one) for one in drawn]


def _median_seconds(call: Callable[[], Any], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        synchronize()
        start = perf_counter()
        call()
        synchronize()
        seconds.append(perf_counter() - start)
    return float(np.median(seconds))


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int | None:
    """Most bytes that tensors have taken since; a CPU does not say."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _gib(count: int | None) -> float | None:
    return None if count is None else count / 2**30
