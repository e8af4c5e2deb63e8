"""``i2i <command>``, and ``python -m`` of the package and of a command's module."""

import subprocess
import sys
from pathlib import Path

import pytest

import i2i_dds
from i2i_dds.cli.commands import COMMANDS, program

CONSOLE = [command for command in COMMANDS if command.console]


def python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",)])
def test_help_lists_every_console_command_the_research_apart(i2i, arguments: tuple) -> None:
    code, out, err = i2i(*arguments)
    assert (code, err) == (0, "")
    core, research = out.split("\nResearch\n")
    for command in CONSOLE:
        line = f"  {command.name:11}  {command.summary}\n"
        assert (line in research, line in core) == (command.research, not command.research)
    assert max(map(len, out.splitlines())) <= 100
    assert "Usage: i2i <command> " in out


def test_version_is_the_packages(i2i) -> None:
    assert i2i("--version") == (0, f"i2i-dds {i2i_dds.__version__}\n", "")


def test_unknown_command_is_one_sentence_that_names_the_nearest(i2i) -> None:
    known = ", ".join(command.name for command in CONSOLE)
    sentence = f"error: 'edti' is no command (did you mean 'edit'?); give one of {known}\n"
    assert i2i("edti", "image=cat.png") == (2, "", sentence)
    assert "'analyse' is no command any more; it is 'study' now;" in i2i("analyse")[2]
    assert i2i("xyz") == (2, "", f"error: 'xyz' is no command; give one of {known}\n")


def test_command_for_the_repository_is_not_installed(i2i) -> None:
    assert i2i("results")[0] == 2


def test_command_gets_its_arguments_and_says_how_it_was_typed(i2i) -> None:
    code, out, err = i2i("theory", "--help")
    assert (code, err) == (0, "")
    assert "\nUsage: i2i theory [group=choice ...] [key=value ...]\n" in out
    code, out, err = i2i("theory", "stpes=3")
    assert (code, out) == (2, "")
    assert err.startswith("error: stpes: no such key")


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    ended = "print(*{'torch', 'hydra', 'omegaconf', 'numpy', 'rich'} & set(sys.modules))"
    code = f"import sys; sys.argv = ['i2i']; from i2i_dds.cli.main import main; main(); {ended}"
    assert python(tmp_path, "-c", code).splitlines()[-1] == ""


def test_python_m_is_the_script(repository: Path, tmp_path: Path) -> None:
    wanted = ("--cfg", "hydra", "--package", "hydra.job")
    script = python(tmp_path, str(repository / "scripts" / "make_shards.py"), *wanted)
    assert "\nname: make_shards\n" in script
    assert python(tmp_path, "-m", "i2i_dds.cli.make_shards", *wanted) == script
    assert python(tmp_path, "-m", "i2i_dds", "make-shards", *wanted) == script


def test_process_that_is_started_again_runs_the_same_command(tmp_path: Path) -> None:
    """As Lightning starts it for a second device, from ``__main__`` and the arguments."""
    code = """\
import contextlib, sys
from i2i_dds.cli.main import main
sys.argv = ["i2i", "theory", "--help"]
with contextlib.suppress(SystemExit):
    main()
from lightning_fabric.strategies.launchers.subprocess_script import _basic_subprocess_cmd
print(_basic_subprocess_cmd()[1:])
"""
    again = "['-m', 'i2i_dds.cli.theory', '--help']"
    assert python(tmp_path, "-c", code).splitlines()[-1] == again


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("/somewhere/bin/i2i-edit", "i2i-edit"),
        ("scripts/edit.py", "python scripts/edit.py"),
        ("i2i edit", "i2i edit"),
        ("python -m i2i_dds edit", "python -m i2i_dds edit"),
    ],
)
def test_program(monkeypatch: pytest.MonkeyPatch, typed: str, expected: str) -> None:
    monkeypatch.setattr(sys, "argv", [typed])
    assert program() == expected


def test_program_of_a_module(tmp_path: Path) -> None:
    assert "Usage: python -m i2i_dds <command>" in python(tmp_path, "-m", "i2i_dds")
    found = python(tmp_path, "-m", "i2i_dds.cli.theory", "--help")
    assert "Usage: python -m i2i_dds.cli.theory [group=choice ...]" in found
