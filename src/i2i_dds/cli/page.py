"""``i2i app``: the page, served until it is asked to end."""

from __future__ import annotations

import threading
from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.checks import integer, several, text
from i2i_dds.cli.app import entry_point, overrides
from i2i_dds.cli.checks import check, listed
from i2i_dds.cli.compiling import COMPILE, compile_teacher
from i2i_dds.cli.keys import build
from i2i_dds.progress import notify

_RULES = {
    "host": text(),
    "port": integer(min=0, max=65535),
    "out": text(),
    "runs": several(text()),
}


@entry_point("app", text=["host", "out"])
def main(cfg: DictConfig) -> Path:
    """Serves; a signal ends it in good order."""
    check(cfg, _RULES | COMPILE)
    from i2i_dds.app.page import PageSettings, import_gradio, served
    from i2i_dds.app.requests import TeacherName
    from i2i_dds.pipelines.edit import EditPipeline

    import_gradio()  # before the teacher is loaded for nothing
    keys = tuple(one for one in overrides() if one.lstrip("+").startswith("teacher"))
    settings = PageSettings(
        host=cfg.host,
        port=cfg.port,
        out=Path(cfg.out),
        runs=tuple(Path(one) for one in listed(cfg.runs)),
        teacher=TeacherName(str(cfg.teacher.path), keys),
    )
    teacher = build(cfg, "teacher")
    compile_teacher(cfg, teacher)
    with served(EditPipeline(teacher), settings) as address:
        notify(f"app: open {address} in a browser; Ctrl-C ends it")
        threading.Event().wait()
    return settings.out


if __name__ == "__main__":
    main()
