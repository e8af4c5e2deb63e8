"""Means of rows, and how they spread over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MetricRow = Mapping[str, Any]
"""Columns and numbers of one edit, or of one seed. None and NaN are unknown."""


@dataclass(frozen=True)
class Aggregate:
    """The numbers of rows that have some columns in common.

    Attributes:
        key: Values of these columns.
        n: How many rows.
        means: Metric -> mean of the finite values, NaN if there are none.
        spreads: Metric -> sample standard deviation of the seeds' means, NaN of fewer than two.
    """

    key: tuple[Any, ...]
    n: int
    means: Mapping[str, float]
    spreads: Mapping[str, float]


def aggregate(
    rows: Iterable[MetricRow],
    by: Sequence[str],
    metrics: Sequence[str],
    *,
    seed: str | None = "seed",
    parts: str | None = None,
) -> list[Aggregate]:
    """One mean for each value of some columns, in the order of the rows.

    Args:
        rows: With these columns; a metric that a row lacks is unknown.
        by: The columns.
        metrics: Columns to average.
        seed: The seeds' column; None takes each row for a seed of its own.
        parts: A column each of whose values counts the same, however many rows it has.
    """
    groups: dict[tuple[Any, ...], list[MetricRow]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    return [
        Aggregate(
            key=key,
            n=len(group),
            means={name: _or_nan(_mean_of(group, name, parts)) for name in metrics},
            spreads={name: _or_nan(_spread_of(group, name, seed, parts)) for name in metrics},
        )
        for key, group in groups.items()
    ]


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the finite values; None if there are none."""
    finite = _finite(values)
    return math.fsum(finite) / len(finite) if finite else None


def spread(values: Iterable[float | None]) -> float | None:
    """The sample standard deviation of the finite values; None of fewer than two."""
    finite = _finite(values)
    return statistics.stdev(finite) if len(finite) > 1 else None


def _mean_of(rows: Sequence[MetricRow], name: str, parts: str | None) -> float | None:
    if parts is None:
        return mean(row.get(name) for row in rows)
    return mean(mean(row.get(name) for row in part) for part in _split(rows, parts))


def _spread_of(
    rows: Sequence[MetricRow], name: str, seed: str | None, parts: str | None
) -> float | None:
    seeds = [[row] for row in rows] if seed is None else _split(rows, seed)
    return spread(_mean_of(one, name, parts) for one in seeds)


def _split(rows: Sequence[MetricRow], column: str) -> list[list[MetricRow]]:
    found: dict[Any, list[MetricRow]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return list(found.values())


def _finite(values: Iterable[float | None]) -> list[float]:
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def over_seeds(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """One line for each value of the keys: means over seeds, and sample deviations as "_spread"."""
    lines = []
    for group in aggregate(rows, keys, metrics, seed=None):
        line: dict[str, Any] = dict(zip(keys, group.key, strict=True)) | {"seeds": group.n}
        for name in metrics:
            line |= {name: group.means[name], f"{name}_spread": group.spreads[name]}
        lines.append(line)
    return lines
