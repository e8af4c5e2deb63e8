"""Two processes under torchrun: one that fails or is killed ends both, with one sentence."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRAIN = [
    *("task=cat2lion", "teacher.device=cpu", "hydra.run.dir=run", "trainer=ddp"),
    *("trainer.accelerator=cpu", "trainer.devices=2", "data.n_train=16", "data.n_val=2"),
    *("data.n_test=2", "data.batch_size=2", "data.size=32", "callbacks.pictures=null"),
    *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    *("student.unet.attention_head_dim=1", "final.n=2", "zero_shot.steps=1"),
    *("trainer.max_steps=100000", "trainer.log_every_n_steps=1"),
]
PROGRAM = """\
import os, sys
from pathlib import Path
from i2i_dds.cli import train
rank, how = os.environ["RANK"], sys.argv.pop(1)
Path(f"rank{rank}.pid").write_text(str(os.getpid()))
from i2i_dds.errors import UserError
from i2i_dds.training.module import EditTraining
step = EditTraining.training_step
def broken(self, batch, batch_idx):
    if batch_idx == 3 and rank == "1":
        raise UserError("data.folder: picture 7 is broken; remove it")
    return step(self, batch, batch_idx)
if how == "refuses":
    EditTraining.training_step = broken
train.main()
"""


class Two:
    """Two processes of a training, and what they say."""

    def __init__(self, folder: Path, pocket: Path, how: str) -> None:
        self.folder = folder
        (folder / "program.py").write_text(PROGRAM)
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
        command += ["--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
        self.err = folder / "err"
        self.running = subprocess.Popen(
            [*command, "program.py", how, *TRAIN],
            cwd=folder,
            env={**os.environ, "I2I_DDS_POCKET": str(pocket), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=self.err.open("w"),
        )

    def until_it_trains(self) -> None:
        end = time.monotonic() + 200
        while not any(file.stat().st_size for file in self.folder.glob("run/log/metrics.csv")):
            assert self.running.poll() is None and time.monotonic() < end, self.err.read_text()
            time.sleep(0.1)

    def rank(self, number: int) -> int:
        return int((self.folder / f"rank{number}.pid").read_text())

    def end(self, seconds: float = 90) -> list[str]:
        """Waits, and returns what the two have said, without what torchrun adds."""
        self.running.wait(seconds)
        said = self.err.read_text()
        assert not any(Path(f"/proc/{self.rank(n)}").exists() for n in (0, 1)), said
        return re.split("torch.distributed.elastic|torch/distributed/elastic", said)[0].splitlines()


@pytest.fixture
def two(tmp_path: Path, pocket: Path):
    started: list[Two] = []

    def start(how: str) -> Two:
        started.append(Two(tmp_path, pocket, how))
        return started[-1]

    yield start
    for one in started:
        if one.running.poll() is None:
            one.running.send_signal(signal.SIGTERM)
            one.running.wait(60)


@pytest.mark.slow
def test_one_that_refuses_ends_both_with_its_sentence(two) -> None:
    lines = two("refuses").end(200)
    errors = [line for line in lines if line.startswith("error: ")]
    assert errors[0] == "error: data.folder: picture 7 is broken; remove it"
    assert all("another process" in line for line in errors[1:]), errors
    assert not [line for line in lines if "Traceback" in line], "\n".join(lines)


@pytest.mark.slow
def test_one_that_is_killed_ends_the_other(two) -> None:
    training = two("trains")
    training.until_it_trains()
    os.kill(training.rank(1), signal.SIGKILL)
    lines = training.end()
    assert not [line for line in lines if "Traceback" in line], "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_of_them_saves_and_ends_both(two, tmp_path, rank: int) -> None:
    training = two("trains")
    training.until_it_trains()
    os.kill(training.rank(rank), signal.SIGTERM)
    lines = training.end()
    said = [line for line in lines if line.startswith("stopped by SIGTERM at step")]
    assert len(said) == 1 and (tmp_path / "run/checkpoints/last.ckpt").is_file(), "\n".join(lines)
