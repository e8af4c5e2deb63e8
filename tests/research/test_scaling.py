import csv
from pathlib import Path

import pytest

from i2i_dds.research.scaling import (
    GRADIENT_BYTES,
    NETWORKS,
    Network,
    all_reduce_seconds,
    speedup,
    write_table,
)

SLOW = Network("slow", bandwidth=100, latency=0.5)


def test_an_all_reduce_by_hand() -> None:
    # Two of 100 bytes: each sends 50 bytes twice, in half a second, after half a second.
    assert all_reduce_seconds(100, 2, SLOW) == pytest.approx(2 * (0.5 + 0.5))
    # Four: 25 bytes, six times.
    assert all_reduce_seconds(100, 4, SLOW) == pytest.approx(6 * (0.25 + 0.5))


def test_a_speedup_lies_below_the_number_of_processes() -> None:
    assert speedup(8.0, 100, 2, SLOW) == pytest.approx(8 / (4 + 2))
    free = Network("free", bandwidth=1e30, latency=0)
    assert speedup(8.0, 100, 4, free) == pytest.approx(4)


def test_the_documents_table_is_what_the_command_writes(tmp_path: Path, repository: Path) -> None:
    write_table(tmp_path / "table.csv", 0.084)
    kept = repository / "docs" / "results" / "scaling" / "table.csv"
    assert (tmp_path / "table.csv").read_text() == kept.read_text()
    with kept.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(GRADIENT_BYTES) * len(NETWORKS)
    assert [row["speedup_2"] for row in rows if row["student"] != "small"] == [""] * 6
