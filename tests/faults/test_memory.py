"""Memory stays flat: what a process holds after a warm-up and at the end of a long run."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from i2i_dds.critters import render, scenes

STEPS, EDITS = 2000, 500
WARM = 4
"""The part of a run, one of so many, past which nothing new should be held."""
GROWTH = 8
"""MB, by which it may grow from there to its end."""

TRAIN = [
    *("task=cat2lion", "teacher.device=cpu", "hydra.run.dir=run", f"trainer.max_steps={STEPS}"),
    *("data.n_train=64", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"),
    *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    *("student.unet.attention_head_dim=1", "final.n=2", "zero_shot.steps=1"),
    *("callbacks.pictures=null", "trainer.log_every_n_steps=20", "trainer.val_check_interval=500"),
]
EDIT = [
    *("image=photos", "prompt.source=a cat", "prompt.target=a lion", "teacher.device=cpu"),
    *("batch_size=1", "steps=4", "out=made"),
]


def megabytes(process) -> float:
    """What a process holds in memory."""
    status = Path(f"/proc/{process.number}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1000


def growth(process, done: Callable[[], int], count: int) -> float:
    """Megabytes by which it grows from its warm-up to its end."""
    process.until(lambda: done() >= count // WARM, seconds=1200)
    warm = megabytes(process)
    process.until(lambda: done() >= count - count // 50, seconds=1200)
    end = megabytes(process)
    assert process.status(300) == 0, process.err
    print(f"{warm:.1f} MB, then {end:.1f} MB")
    return end - warm


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_of_2000_training_steps(start, tmp_path: Path) -> None:
    def steps() -> int:
        files = list(tmp_path.glob("run/log/metrics.csv"))
        rows = list(csv.DictReader(files[0].open())) if files else []
        return max([int(row["step"]) for row in rows if row.get("step")], default=0)

    assert growth(start("train", *TRAIN), steps, STEPS) < GROWTH


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_of_500_edits(start, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number, scene in enumerate(scenes("test", EDITS)):
        render(scene, 32).save(tmp_path / "photos" / f"{number:03}.png")
    edits = start("edit", *EDIT)  # with one prompt for all: of prompts the last 1,024 are kept
    assert growth(edits, lambda: len(list(tmp_path.glob("made/parts/*.json"))), EDITS) < GROWTH
