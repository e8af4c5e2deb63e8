"""The worked examples of the manual, run as they stand: files, Python, then commands."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from i2i_dds.evaluation.metric import METRICS
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from tests.manual.pages import WORKED, blocks, commands, write_files

QUICK = {
    "edit": ["n=1", "steps=2"],
    "train": [
        *("trainer.max_steps=2", "trainer.val_check_interval=2", "trainer.log_every_n_steps=1"),
        *("data.n_train=4", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"),
        *("final.n=2", "zero_shot.steps=2", "callbacks.pictures=null"),
        *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
        "student.unet.attention_head_dim=1",
    ],
}
"""So that each takes a second or two; a key that the page gives stays as it is."""


@pytest.fixture(autouse=True)
def _own_modules() -> Iterator[None]:
    known = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(known)
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


@pytest.mark.parametrize("page", WORKED, ids=lambda page: page.stem)
def test_worked_example_runs(page: Path, typed, tmp_path: Path) -> None:
    build_random_stable_diffusion(tmp_path / "my_checkpoint", "tiny")
    write_files(page, tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python" and not block.title:
            exec(compile(block.code, page.name, "exec"), names)
    for name, *arguments in commands(page):
        given = {word.partition("=")[0] for word in arguments}
        more = [word for word in QUICK[name] if word.partition("=")[0] not in given]
        run = Path(typed(name, *arguments, "teacher.device=cpu", *more).splitlines()[-1])
        assert (run / "metrics.json").is_file()
