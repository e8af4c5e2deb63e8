"""The numbers of a run, for a person: on standard error, the last thing before the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TASKS = "tasks"
"""Key of the numbers of each task, where there are several."""


def show_numbers(numbers: Mapping[str, Any]) -> None:
    """Prints a line for each number, and a column for each of several tasks.

    Args:
        numbers: Name -> number; what is none, such as a mapping other than ``tasks``, is left out.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from i2i_dds.evaluation.metric import printed

    tasks = numbers.get(TASKS) or {}
    table = Table(box=box.SIMPLE if tasks else None, show_header=bool(tasks), pad_edge=False)
    for title in ("", "all" if tasks else "", *tasks):
        table.add_column(title, justify="right" if title else "left", overflow="fold")
    for name, value in numbers.items():
        if value is None or isinstance(value, int | float):
            cells = [printed(name, one[name]) if name in one else "" for one in tasks.values()]
            table.add_row(name, printed(name, value), *cells)
    Console(stderr=True).print(table)
