import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from i2i_dds.app import page
from i2i_dds.cli.page import main

pytest.importorskip("gradio", reason="Gradio, the extra app, is not installed")


def test_the_page_is_served_on_loopback_until_a_signal(pocket: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "I2I_DDS_POCKET": str(pocket)}
    command = [sys.executable, "-m", "i2i_dds", "app", "port=0", "teacher.device=cpu"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if "app: open" in line)
            address = line.split("open ")[1].split()[0]
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 143
            assert process.stderr.read().splitlines()[-1] == "stopped by SIGTERM"
        finally:
            process.kill()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("argument", ["port=-1", "port=65536", "threads=0"])
def test_what_is_not_allowed_is_named(typed, argument: str) -> None:
    done = typed(main, argument)
    assert done.code == 2 and done.sentence.startswith(f"error: {argument.split('=')[0]}: ")


def test_without_gradio_the_extra_is_named(typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    assert "pip install 'i2i-dds[app]'" in typed(main).sentence


def test_a_port_that_is_taken_is_named(typed) -> None:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        done = typed(main, f"port={one.getsockname()[1]}")
    assert done.code == 2 and "cannot be listened at" in done.sentence
