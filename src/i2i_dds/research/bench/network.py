"""How much of the machine's rate the teacher's network reaches."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import torch

from i2i_dds.research.bench.settings import ONNX
from i2i_dds.research.bench.timing import flops_of, share_of_peak

ROWS = (4, 32)
"""Sizes of a batch."""


@torch.no_grad()
def teacher_shares(teacher: Any, rounds: int, compile: bool | str) -> dict[str, Any]:
    """FLOP/s of one evaluation over those of a product of float32 matrices.

    Args:
        teacher: Who predicts.
        rounds: Of which the median counts.
        compile: Whether to compile the network too, with its weights as constants; "onnx" has it
            run by ONNX Runtime.

    Returns:
        "batch4" and "batch32"; "compiled" and "onnx" with the same of the network that is run so,
        and the seconds that the first calls took, or None.
    """
    network = teacher.unet
    inputs = {rows: _inputs(teacher, rows) for rows in ROWS}
    flops = {rows: flops_of(partial(network, **inputs[rows])) for rows in ROWS}

    def shares(run: Any) -> dict[str, float]:
        calls = {rows: partial(run, **inputs[rows]) for rows in ROWS}
        return {
            f"batch{rows}": share_of_peak(call, flops[rows], rounds, teacher.device)
            for rows, call in calls.items()
        }

    found: dict[str, Any] = {**shares(network), "compiled": None, "onnx": None}
    if compile == ONNX:
        teacher.use_onnx()
        found["onnx"] = _after_first_calls(teacher.asked, inputs, shares)
    elif compile:
        import torch._inductor.config as inductor

        with inductor.patch(freezing=True):
            compiled = torch.compile(network, dynamic=False)
            found["compiled"] = _after_first_calls(compiled, inputs, shares)
    return found


def _inputs(teacher: Any, rows: int) -> dict[str, Any]:
    side = teacher.native_size // teacher.vae_scale_factor
    z = torch.zeros(rows, teacher.latent_channels, side, side)
    text = teacher.embed(["a cat"] * rows).embeddings
    return {
        "sample": z.to(teacher.device, teacher.dtype),
        "timestep": torch.full((rows,), 500, device=teacher.device),
        "encoder_hidden_states": text.to(teacher.device, teacher.dtype),
    }


def _after_first_calls(run: Any, inputs: dict[int, dict[str, Any]], shares: Any) -> dict[str, Any]:
    start = time.perf_counter()
    for one in inputs.values():
        run(**one)
    seconds = time.perf_counter() - start
    return {**shares(run), "compile_s": seconds}
