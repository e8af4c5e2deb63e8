"""``compile=``: how the teacher's network is run for a command's predictions."""

from typing import Any

from omegaconf import DictConfig

from i2i_dds.checks import Rule
from i2i_dds.errors import UserError
from i2i_dds.threads import AUTO

ONNX = "onnx"

COMPILE = {
    "compile": Rule(
        "true, false, onnx (by ONNX Runtime, on the CPU)",
        lambda value: value in (True, False, ONNX),
        (ONNX,),
    )
}

COMPILE_AUTO = {
    "compile": Rule(
        "true, false, auto (where it saves more time than it takes), or onnx (by ONNX Runtime, on "
        "the CPU)",
        lambda value: value in (True, False, AUTO, ONNX),
        (AUTO, ONNX),
    )
}
"""Of commands that know how many predictions they will ask for."""


def compile_teacher(cfg: DictConfig, teacher: Any, calls: int = 0) -> None:
    """Has the teacher run its network as ``compile`` says.

    Args:
        cfg: The command's.
        teacher: Whose network.
        calls: Predictions that the job will ask for, about; of no matter but to ``auto``.

    Raises:
        UserError: The teacher has no network, or ONNX Runtime cannot run it.
    """
    if cfg.compile is False:
        return
    if not hasattr(teacher, "compile"):
        raise UserError(f"compile: a {type(teacher).__name__} has no network; leave it out")
    if cfg.compile == ONNX:
        teacher.use_onnx()
    else:
        teacher.compile(calls if cfg.compile == AUTO else None)


def check_weights_stay(cfg: DictConfig) -> None:
    """Refuses to compile a network whose weights a LoRA will change.

    Raises:
        UserError: It is asked for.
    """
    if cfg.compile is not False and cfg.use_lora:
        raise UserError(
            f"compile: {cfg.compile!r} does not go with use_lora=true, which changes the network "
            "for each picture; give use_lora=false, or leave it out"
        )
