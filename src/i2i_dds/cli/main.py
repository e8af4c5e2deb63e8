"""``i2i <command>``: every console command under one name."""

import os
import sys
from collections.abc import Iterable
from importlib import import_module

from i2i_dds import __version__
from i2i_dds.checks import did_you_mean
from i2i_dds.cli.commands import COMMANDS, RENAMED, Command, program

_BY_NAME = {command.name: command for command in COMMANDS if command.console}


def main() -> None:
    """Runs the command that is typed first, or says which there are."""
    name, called = (sys.argv[1:2] or ["--help"])[0], program()
    if name in ("-h", "--help"):
        print(_help(called))
    elif name == "--version":
        print(f"i2i-dds {__version__}")
    elif name in ("-sc", "--shell-completion"):
        _complete()
    elif name in _BY_NAME:
        module = import_module(_BY_NAME[name].target)
        sys.argv = [f"{called} {name}", *sys.argv[2:]]
        # What starts this process again, as Lightning does for a second device, looks here for
        # the module to run; it does not know what the first word of the command line means.
        sys.modules["__main__"].__spec__ = module.__spec__
        module.main()
    else:
        hint, known = did_you_mean(name, _BY_NAME), ", ".join(_BY_NAME)
        if name in RENAMED:
            hint = f" any more; it is {RENAMED[name]!r} now"
        print(f"error: {name!r} is no command{hint}; give one of {known}", file=sys.stderr)
        sys.exit(2)


def _complete() -> None:
    """Hydra's completion, which knows one command of a program, for each command of this one."""
    line = os.environ.get("COMP_LINE", "")
    first, *words = line.split() or [""]
    if not (len(words) > 1 or words and line.endswith(" ")):
        if any(argument.startswith("query=") for argument in sys.argv):
            print(" ".join(_BY_NAME))
            return
        words = words or ["edit"]  # any can install the shell's function
    name, *rest = words
    if name in _BY_NAME:
        os.environ["COMP_LINE"] = " ".join((first, *rest)) + " " * line.endswith(" ")
        import_module(_BY_NAME[name].target).main()


def _help(called: str) -> str:
    installed = _BY_NAME.values()
    return f"""\
Edits images, and trains networks that do, with the Delta Denoising Score.

Usage: {called} <command> [group=choice ...] [key=value ...]

Commands
{_lines(command for command in installed if not command.research)}

Research
{_lines(command for command in installed if command.research)}

<command> --help shows a command's settings, --version the version of this package.
eval "$({called} -sc install=bash)" lets Tab complete commands, keys and choices (or zsh, fish)."""


def _lines(commands: Iterable[Command]) -> str:
    width = max(map(len, _BY_NAME))
    return "\n".join(f"  {command.name:{width}}  {command.summary}" for command in commands)


if __name__ == "__main__":
    main()
