"""Tab, as bash asks for it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
eval "$(i2i -sc install=bash)"
COMP_LINE="$1"; COMP_POINT=${#1}; read -ra words <<< "$1"; COMP_CWORD=$(( ${#words[@]} - 1 ))
[[ "$1" == *" " ]] && COMP_CWORD=${#words[@]}
hydra_bash_completion
echo "${COMPREPLY[@]}"
"""


# What it installs is a function of bash, which Windows and small containers have not.
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("i2i ed", "edit"),
        ("i2i ben", "benchmark bench"),
        ("i2i edit teacher=po", "teacher=pocket teacher=pocket_flow"),
        ("i2i edit task=cat2lion ste", "steps="),
        ("i2i train task=cat2ti", "task=cat2tiger"),
        ("i2i nothing ", ""),
    ],
)
def test_commands_keys_and_choices(line: str, found: str, tmp_path: Path) -> None:
    program = tmp_path / "i2i"
    program.write_text(f"#!{sys.executable}\nfrom i2i_dds.cli.main import main\nmain()\n")
    program.chmod(0o755)
    (tmp_path / "empty").mkdir()  # else names of files complete what nothing else does
    done = subprocess.run(
        ["bash", "-c", _SCRIPT, "bash", line],
        capture_output=True, text=True, timeout=120, cwd=tmp_path / "empty",
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"{found}\n", "")
