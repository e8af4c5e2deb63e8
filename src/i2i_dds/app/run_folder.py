"""What a training has left in its folder, read within bounds."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from i2i_dds import UserError
from i2i_dds.app.pictures import read_upload

CONFIG, METRICS, ROWS, CURVES = "config.json", "metrics.json", "rows.csv", "log/metrics.csv"
STUDENT = "student"
"""Folder in a training's, with the weights at its end."""

_PARTS = ("log", "pictures", "checkpoints")
MOST_RUNS = 200
MOST_SAMPLES = 24
MOST_ROWS = 64
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        metrics: Of the held-out edits at its end; empty before that.
        rows: One for each held-out edit, at most MOST_ROWS.
        samples: (step, picture) in their order, spread over the training.
        curves: Name -> (step, value) in their order.
    """

    metrics: dict[str, Any]
    rows: list[dict[str, str]]
    samples: list[tuple[int, Image.Image]]
    curves: dict[str, list[tuple[int, float]]]


def find_runs(roots: Sequence[Path]) -> dict[str, Path]:
    """Trainings in the folders, and those of sweeps one level below, the newest first.

    Args:
        roots: Folders; what a link in them leads out of them to is no part of them.

    Returns:
        What to call it -> its folder.
    """
    found: dict[str, Path] = {}
    for root in roots:
        inside = root.resolve()
        for one in [*root.glob(f"*/{CONFIG}"), *root.glob(f"*/*/{CONFIG}")]:
            folder = one.parent
            trained = any((folder / part).is_dir() for part in _PARTS)  # a student has none
            if trained and _is_inside(folder, inside) and _is_inside(one, inside):
                name = str(folder.relative_to(root))
                found[name if name not in found else str(folder)] = folder
    newest = sorted(found, key=lambda name: found[name].name, reverse=True)
    return {name: found[name] for name in newest[:MOST_RUNS]}


def find_students(roots: Sequence[Path]) -> dict[str, Path]:
    """Students that trainings have saved, the newest first.

    Args:
        roots: As of :func:`find_runs`; what a link leads out of them to is no student either.

    Returns:
        What to call it -> the folder of its weights.
    """
    inside = [root.resolve() for root in roots]
    found = {}
    for name, run in find_runs(roots).items():
        student = run / STUDENT
        files = [student / CONFIG, *student.glob("*")]
        own = all(any(_is_inside(one, root) for root in inside) for one in files)
        if own and (student / CONFIG).is_file():
            found[name] = student
    return found


def read_run(folder: Path) -> Run:
    """A training's files; those that are not there yet count as empty.

    Args:
        folder: One of :func:`find_runs`.

    Raises:
        UserError: A file is broken or too large.
    """
    try:
        text = _text(folder, METRICS)
        metrics = json.loads(text) if text else {}
        rows = list(csv.DictReader(_text(folder, ROWS).splitlines()))[:MOST_ROWS]
        curves = _curves(csv.DictReader(_text(folder, CURVES).splitlines()))
    except (ValueError, RecursionError, csv.Error, OSError) as error:
        raise UserError(f"run: '{folder}' cannot be read ({error}); choose another") from error
    return Run(metrics if isinstance(metrics, dict) else {}, rows, list(_samples(folder)), curves)


def _text(folder: Path, name: str) -> str:
    path = folder / name
    if not path.is_file() or not _is_inside(path, folder.resolve()):
        return ""
    if path.stat().st_size > _MOST_BYTES:
        raise UserError(f"run: '{path}' is larger than {_MOST_BYTES // 2**20} MiB; choose another")
    return path.read_text(encoding="utf-8")


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def _samples(folder: Path) -> Iterator[tuple[int, Image.Image]]:
    paths = sorted((folder / "pictures").glob("step-*.png"))
    inside = folder.resolve()
    paths = [one for one in paths if one.stem[5:].isdecimal() and _is_inside(one, inside)]
    stride = max(1, math.ceil(len(paths) / MOST_SAMPLES))
    for path in paths[::-1][::stride][::-1]:  # the last one is always among them
        yield int(path.stem[5:]), read_upload(path)


def _curves(rows: Iterator[dict[str, str]] | csv.DictReader) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        step = int(row.get("step") or -1)
        for name, value in row.items():
            if step >= 0 and value and name.partition("/")[0] in ("train", "val"):
                number = float(value)
                if math.isfinite(number):
                    curves.setdefault(name, []).append((step, number))
    return curves
