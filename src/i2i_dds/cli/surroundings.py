"""What lies round a job: Hydra's own files and prints, and what earlier runs have left behind."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

from hydra.core.hydra_config import HydraConfig

from i2i_dds.distributed import launched_rank
from i2i_dds.leftovers import leftovers
from i2i_dds.progress import notify
from i2i_dds.redaction import redact_line, redact_yaml

_SHOWING = ("--cfg", "-c", "--info", "-i", "--help", "-h")
"""Options of Hydra that print what was typed instead of doing it."""


_NOT_FOR_USERS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # of torch, to Lightning
    r"Checkpoint directory .* exists and is not empty",  # a run that goes on in its folder
    r"The number of training batches .* is smaller than the logging interval",  # steps count on
)
"""Starts of warnings of libraries to one another, which nobody who types a command can heed."""


_VERBOSITY = "TRANSFORMERS_VERBOSITY"
"""Read when transformers is imported, which then warns of image processors that nobody uses."""


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without the warnings of libraries that are none of the user's business."""
    chosen = _VERBOSITY in os.environ
    os.environ.setdefault(_VERBOSITY, "error")
    try:
        with warnings.catch_warnings():
            for message in _NOT_FOR_USERS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        if not chosen:
            del os.environ[_VERBOSITY]


def say_leftovers(*folders: Path) -> None:
    """One line about runs that were killed, if they left something where this one writes."""
    if launched_rank() > 0:
        return
    found = [one for folder in dict.fromkeys(folders) for one in leftovers(folder)]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        notify(
            f"left behind by a run that did not end: {found[0]}{more}; "
            "remove what you do not need (i2i doctor lists all)"
        )


def redact_hydra_files() -> None:
    """Takes secrets out of what Hydra has written of the command line, where it has."""
    hydra = HydraConfig.get()
    files = [Path(hydra.sweep.dir) / "multirun.yaml"]
    if hydra.output_subdir is not None:
        folder = Path(hydra.runtime.output_dir) / hydra.output_subdir
        files += [folder / f"{name}.yaml" for name in ("config", "hydra", "overrides")]
    for file in files:
        with suppress(OSError):
            before = file.read_text(encoding="utf-8")
            if (after := redact_yaml(before)) != before:
                file.write_text(after, encoding="utf-8")


@contextmanager
def quiet_about_secrets(arguments: Sequence[str]) -> Iterator[None]:
    """Redacts what Hydra prints of a config, and what Python prints of a mistake of ours."""
    before, sys.excepthook = sys.excepthook, _print_redacted
    printed = io.StringIO()
    shows = any(argument.partition("=")[0] in _SHOWING for argument in arguments)
    try:
        with (
            redirect_stdout(printed if shows else sys.stdout),
            redirect_stderr(cast(TextIO, _Redacting(sys.stderr))),
        ):
            yield
    except Exception:
        before = _print_redacted  # the hook is for what leaves the command
        raise
    finally:
        sys.excepthook = before
        sys.stdout.write(redact_yaml(printed.getvalue()))


class _Redacting:
    """A stream that shows no secrets, and is in all else the one it stands for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redact_line(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _print_redacted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    sys.stderr.write(redact_line("".join(traceback.format_exception(kind, error, trace))))
