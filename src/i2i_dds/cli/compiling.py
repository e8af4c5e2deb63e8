"""``compile=``: whether the teacher's network is compiled for a command's predictions."""

from typing import Any

from omegaconf import DictConfig

from i2i_dds.checks import Rule
from i2i_dds.errors import UserError
from i2i_dds.threads import AUTO

COMPILE = {
    "compile": Rule(
        "true, false, or auto (where it saves more time than it takes)",
        lambda value: value in (AUTO, True, False),
        (AUTO,),
    )
}


def compile_teacher(cfg: DictConfig, teacher: Any, calls: int) -> None:
    """Has the teacher compile its network if ``compile`` says so.

    Args:
        cfg: The command's.
        teacher: Whose network.
        calls: Predictions that the job will ask for, about.

    Raises:
        UserError: The teacher has no network.
    """
    if cfg.compile is False:
        return
    if not hasattr(teacher, "compile"):
        raise UserError(f"compile: a {type(teacher).__name__} has no network; leave it out")
    teacher.compile(calls if cfg.compile == AUTO else None)
