"""What the entry points share: finding ``conf/``, running Hydra, and how a command ends.

A command ends in one of four ways: with its run folder's path as the last line of standard
output (exit code 0), the same after it has named what could not be read of several inputs (exit
code 3), with one sentence on standard error that says what to put right (exit code 2), with one
that says which signal stopped it (130 or 143), or, when the mistake is ours, with a traceback (exit
code 1).
"""

import functools
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from i2i_dds.checks import Rule, integer
from i2i_dds.cli.arguments import checked, quote_text
from i2i_dds.cli.checks import check
from i2i_dds.cli.commands import program
from i2i_dds.cli.explain import explain, missing_choice
from i2i_dds.cli.family import name_family
from i2i_dds.cli.help import command_help
from i2i_dds.cli.memory import keep_freed_memory
from i2i_dds.cli.root import Root
from i2i_dds.cli.surroundings import (
    quiet_about_secrets,
    quiet_libraries,
    redact_hydra_files,
    say_leftovers,
)
from i2i_dds.distributed import launched_rank, launched_world_size
from i2i_dds.errors import UserError
from i2i_dds.progress import notify
from i2i_dds.redaction import printable, redact, redact_line, redact_override
from i2i_dds.signals import Stopped, hearing, second_ends
from i2i_dds.teacher.presets import config_dir
from i2i_dds.threads import AUTO, cpu_threads

Job = Callable[[DictConfig], "Path | tuple[Path, float | None] | Incomplete"]

_THREADS = Rule(
    "a whole number of at least 1, auto (the cores that are free), or null (all cores)",
    lambda value: value in (None, AUTO) or integer(min=1).accepts(value),
    (AUTO,),
)

INCOMPLETE = 3
"""Exit code of a command that did all but what could not be read."""

_FULL_ERROR = "HYDRA_FULL_ERROR"
_POCKET = "pocket"


@dataclass(frozen=True)
class Incomplete:
    """What a job returns that did all but some inputs, each of which it has named.

    Attributes:
        folder: Of the run.
    """

    folder: Path


_incomplete: list[Path] = []
"""Run folders of such jobs of the running command."""

MOVED_SCORES = {
    "score.pull": "give score.lambda_l2=<number>",
    "score.contrast": "give score.lambda_contrastive=<number>",
}
"""Of all commands that have a score."""


def entry_point(
    config_name: str,
    text: Sequence[str] = (),
    typed: Mapping[str, str] | None = None,
    moved: Mapping[str, str] | None = None,
    shares: bool = False,
    resumes: bool = False,
) -> Callable[[Job], Callable[[], None]]:
    """Makes a console command of a function that takes a composed config.

    Args:
        config_name: The root config in ``conf/``, without its suffix.
        text: Keys that hold free text, such as ``prompt.target``, beside the paths that every
            command has. What follows their ``=`` is taken literally, see :func:`quote_text`.
        typed: What is typed for a key, where the key's name is not: as typed -> the key. Hydra
            takes a name that is also a folder of ``conf/`` for a choice of that group.
        moved: Keys and groups that are gone -> what to give instead.
        shares: Whether several processes share its work. Others refuse to do it several times.
        resumes: Whether it goes on where it stopped when it is typed again.

    Returns:
        A decorator. The function it takes returns its run folder, or (run folder, metric) where
        a sweeper shall see the metric, or :class:`Incomplete`.
    """

    def decorate(job: Job) -> Callable[[], None]:
        @functools.wraps(job)
        def main() -> None:
            keep_freed_memory()
            full_error = os.environ.get(_FULL_ERROR)
            root = Root(config_dir() / f"{config_name}.yaml")
            # With the switch on, Hydra raises what it would otherwise print in several lines.
            how = "; the same command goes on from there" if resumes else ""
            with (
                quiet_about_secrets(sys.argv[1:]),
                quiet_libraries(),
                _stoppable(how),
                _explained(full_error, root),
                _hydra_full_error("1"),
            ):
                refuse_moved(sys.argv[1:], moved or {})
                if not shares:
                    refuse_several(config_name)
                arguments = name_family(checked(sys.argv[1:], root))
                sys.argv[1:] = rename(quote_text(arguments, text), typed or {})
                _incomplete.clear()
                _run(_task(job, full_error, config_name, shares), config_name)
            if _incomplete:
                sys.exit(INCOMPLETE)

        return main

    return decorate


def refuse_several(command: str) -> None:
    """Refuses to be one of several processes, of which each would do all of the work.

    Raises:
        UserError: Several were started.
    """
    if launched_world_size() > 1:
        raise UserError(
            f"{command}: {launched_world_size()} processes were started, and each would do all of "
            "the work; start one"
        )


def run_dir() -> Path:
    """The folder of the running job as Hydra resolved it (``conf/hydra/default.yaml``)."""
    return Path(HydraConfig.get().runtime.output_dir)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Turns a config into a plain dict with every interpolation resolved and secrets redacted."""
    content = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(content, dict)
    return redact(content)


def overrides() -> list[str]:
    """What was typed for the running job, with secrets redacted."""
    return [redact_override(one) for one in HydraConfig.get().overrides.task]


def settings_of(cfg: DictConfig, free: Collection[str]) -> dict[str, Any]:
    """Every setting that results depend on, by dotted key; ``free`` are those they do not."""
    from i2i_dds.runs import flatten, plain

    return flatten({key: value for key, value in plain(resolved(cfg)).items() if key not in free})


def choices_of(group: str) -> list[str]:
    """What a group of ``conf/`` holds, files and what Python registered."""
    files = [path.stem for path in (config_dir() / group).glob("*.yaml")]
    registered = ConfigStore.instance().repo.get(group, {})
    return sorted({*files, *(name.removesuffix(".yaml") for name in registered)})


OmegaConf.register_new_resolver(
    "first", lambda *values: next(value for value in values if value is not None), replace=True
)
OmegaConf.register_new_resolver("program", program, replace=True)


def _command_help(*, _root_: DictConfig) -> str:
    file = config_dir() / f"{_root_.hydra.job.config_name}.yaml"
    return command_help(file, _root_, choices_of, program())


OmegaConf.register_new_resolver("command_help", _command_help, replace=True)


def rename(arguments: Sequence[str], typed: Mapping[str, str]) -> list[str]:
    """Arguments ``name=value`` with the key that ``typed`` has for the name, if it has one."""
    parts = [argument.partition("=") for argument in arguments]
    return [
        "".join((typed.get(name, name), equals, value)) if equals else name
        for name, equals, value in parts
    ]


def refuse_moved(arguments: Sequence[str], moved: Mapping[str, str]) -> None:
    """Refuses keys that are gone.

    Raises:
        UserError: Naming the first of them, and what to give instead.
    """
    for argument in arguments:
        key = argument.lstrip("+~").partition("=")[0]
        for gone, instead in moved.items():
            if key == gone or key.startswith(f"{gone}."):
                raise UserError(f"{key}: no such key any more; {instead}")


def _run(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Calls Hydra; ``--help`` leaves out a group of which nothing is chosen, rather than fail."""
    while True:
        try:
            hydra.main(str(config_dir()), config_name, version_base="1.3")(task)()
            return
        except ConfigCompositionException as error:
            group = missing_choice(error)
            if group is None or not {"-h", "--help"} & set(sys.argv):
                raise
            sys.argv.append(f"~{group}")


def _task(
    job: Job, full_error: str | None, command: str, shares: bool
) -> Callable[[DictConfig], float | None]:
    """Wraps ``job`` for Hydra: runs it, prints its run folder, returns what a sweeper wants."""

    @functools.wraps(job)
    def task(cfg: DictConfig) -> float | None:
        from i2i_dds.runs import disk_errors

        single = HydraConfig.get().mode is RunMode.RUN  # of a sweep, Hydra names the failing job
        try:
            with _explained(full_error if single else "1"), _hydra_full_error(full_error):
                if not shares:  # again, for a launcher of Hydra's may have started several
                    refuse_several(command)
                redact_hydra_files()
                _say_whose_settings(cfg)
                say_leftovers(run_dir().parent, *([Path(cfg.out).parent] if cfg.get("out") else []))
                with disk_errors(run_dir()), cpu_threads(_threads(cfg)):
                    result = job(cfg)
        finally:
            _remove_if_empty(run_dir())
        if isinstance(result, Incomplete):
            result = result.folder
            _incomplete.append(result)
        folder, metric = result if isinstance(result, tuple) else (result, None)
        if launched_rank() == 0:
            print(folder, flush=True)
        return metric

    return task


def _threads(cfg: DictConfig) -> int | str | None:
    """Those that are asked for; of a command that computes nothing, None."""
    if "threads" in cfg:
        check(cfg, {"threads": _THREADS})
    return cfg.get("threads")


def _say_whose_settings(cfg: DictConfig) -> None:
    """The presets go with the choice of a teacher, whatever its path is."""
    choice = HydraConfig.get().runtime.choices.get("teacher")
    if launched_rank() == 0 and choice == _POCKET and cfg.teacher.path != _POCKET:
        notify(
            f"teacher.path: all settings stay those of the {_POCKET} teacher; "
            "for Stable Diffusion's give teacher=sd15 or teacher=sd21 beside it"
        )


@contextmanager
def _explained(full_error: str | None, root: Root | None = None) -> Iterator[None]:
    """Ends the process with one sentence for a user's mistake, unless full errors are wanted."""
    try:
        yield
    except Exception as error:
        sentence = None if full_error == "1" else explain(error, root)
        if sentence is None:
            raise
        sys.stdout.flush()
        print(f"error: {printable(redact_line(sentence))}", file=sys.stderr, flush=True)
        sys.exit(2)


@contextmanager
def _stoppable(how: str) -> Iterator[None]:
    """Ends the process in good order, with one sentence and the status shells know, at a signal."""
    try:
        with second_ends(launched_world_size()), hearing():
            yield
    except Stopped as stopped:
        if launched_rank() == 0:
            sys.stdout.flush()
            stopped.how = stopped.how or how
            print(stopped, file=sys.stderr, flush=True)
        sys.exit(stopped.status)


@contextmanager
def _hydra_full_error(value: str | None) -> Iterator[None]:
    """Sets Hydra's switch for full errors; child processes of a job see the user's own choice."""
    before = os.environ.get(_FULL_ERROR)
    try:
        _set_environment(_FULL_ERROR, value)
        yield
    finally:
        _set_environment(_FULL_ERROR, before)


def _set_environment(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _remove_if_empty(folder: Path) -> None:
    """Hydra makes the run folder before the job starts; one that stayed empty is not left."""
    with suppress(OSError):
        folder.rmdir()
