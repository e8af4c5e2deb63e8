"""ONNX files of networks, written by PyTorch and run by ONNX Runtime: the extra ``export``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.export import ExportedProgram

OPSET = 20
"""Of the files; the first with GELU as one operator."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_SPIN_US = "50"
_BRIEF_FROM = (1, 27)
"""ONNX Runtime's that can be told so."""
_ERRORS_ONLY = 3
"""ONNX Runtime's number of that level."""

Run = Callable[[Mapping[str, Tensor]], Tensor]
"""From inputs by name to the output."""


def missing_packages() -> list[str]:
    """What ``pip install 'i2i-dds[export]'`` would bring."""
    return [name for name in _PACKAGES if find_spec(name) is None]


def write_onnx(
    program: ExportedProgram,
    path: Path,
    inputs: Sequence[str],
    output: str,
    beside: bool = False,
    folded: bool = True,
) -> None:
    """Writes a program of one output.

    Args:
        program: Of `torch.export`.
        path: The file.
        inputs: What its inputs are called, in their order.
        output: What its output is called.
        beside: Whether the weights lie in a file of their own, ``<path>.data``; a file of ONNX has
            2 GB at most.
        folded: Whether the graph is made simpler first, which takes as long again. ONNX Runtime
            does that where it loads it.
    """
    made = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        optimize=folded,
        input_names=list(inputs),
        output_names=[output],
    )
    assert made is not None
    made.save(path, external_data=beside)


def open_onnx(path: Path) -> Run:
    """What runs a file with one output, on the CPU, on as many threads as torch has now.

    They wait for one another as torch's do: briefly, and then they sleep.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # An older one would look on for as long as it has built in, up to half a second.
    major, minor = onnxruntime.__version__.split(".")[:2]
    brief = (int(major), int(minor)) >= _BRIEF_FROM
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(brief)))
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )

    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        given = {name: value.numpy() for name, value in inputs.items()}
        return torch.from_numpy(session.run(None, given)[0])

    return run


@contextmanager
def quiet_export() -> Iterator[None]:
    """Without what exporters say of their own insides."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)
