"""Commands typed in an empty folder; a tiny untrained teacher stands for the pocket one."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from i2i_dds.cli.main import main


@pytest.fixture
def typed(pocket: Path, tmp_path: Path, monkeypatch, capsys) -> Callable[..., str]:
    """Types ``i2i`` and what follows in this process; returns what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("I2I_DDS_POCKET", str(pocket))
    # A command leaves its module here.
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", sys.modules["__main__"].__spec__)

    def typed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/i2i", *arguments])
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, f"i2i {' '.join(arguments)}: {capsys.readouterr().err}"
        return capsys.readouterr().out

    return typed
