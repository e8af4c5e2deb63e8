"""Commands typed in an empty folder; a tiny untrained teacher stands for the pocket one."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from i2i_dds.cli.edit import main as edit_command
from i2i_dds.cli.main import main
from i2i_dds.critters import render, scenes


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def folder(self) -> Path:
        """The run folder, the last line of standard output."""
        assert self.code == 0, self.err
        return Path(self.out.splitlines()[-1])

    @property
    def sentence(self) -> str:
        """The last line of standard error."""
        return self.err.splitlines()[-1]


@pytest.fixture
def typed(pocket: Path, tmp_path: Path, monkeypatch, capsys):
    """Runs a command's main with its arguments, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("I2I_DDS_POCKET", str(pocket))

    def typed(main: Callable[[], object], *arguments: str, teacher: bool = True) -> Done:
        device = ["teacher.device=cpu"] if teacher else []
        monkeypatch.setattr(sys, "argv", [main.__module__, *device, *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Done(code, *capsys.readouterr())

    return typed


@pytest.fixture
def i2i(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., Done]:
    """Types ``i2i`` and what follows, in this process."""
    # A command leaves its module here.
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", sys.modules["__main__"].__spec__)

    def typed(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/i2i", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Done(code, *capsys.readouterr())

    return typed


@pytest.fixture
def edit(typed, tmp_path: Path) -> Callable[..., Any]:
    """`i2i edit`, typed in a folder with some pictures; two steps unless told otherwise."""
    for i, scene in enumerate(scenes("test", 2, species="cat")):
        (tmp_path / "photos").mkdir(exist_ok=True)
        render(scene, 32).save(tmp_path / "photos" / f"cat{i}.png")

    def edit(*arguments: str) -> Any:
        given = {argument.partition("=")[0] for argument in arguments}
        return typed(edit_command, *([] if "steps" in given else ["steps=2"]), *arguments)

    return edit
